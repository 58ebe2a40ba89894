"""Notices when the time of day is set, by a clock that nobody sets."""

from __future__ import annotations

import time


def awake_or_asleep_s() -> float:
    """Seconds of a clock that nobody sets and that runs on while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SteadyClock:
    """Notices when the time of day is set (NTP at start, by hand, a restored virtual machine).

    Args:
        step_s: steps up to this length are none.
        believed_after_s: how long a clock that was set must run steadily until it is believed.
    """

    def __init__(self, step_s: float, believed_after_s: float) -> None:
        self._step_s, self._believed_after_s = step_s, believed_after_s
        self._offset = time.time() - awake_or_asleep_s()
        self._set: tuple[float, float] | None = None  # when, and by how much

    def set_by(self) -> float | None:
        """Seconds by which the clock was set lately; None if it can be believed."""
        steady = awake_or_asleep_s()
        offset = time.time() - steady
        if abs(step := offset - self._offset) > self._step_s:
            self._offset, self._set = offset, (steady, step)
        if self._set is not None and steady - self._set[0] >= self._believed_after_s:
            self._set = None
        return None if self._set is None else self._set[1]
