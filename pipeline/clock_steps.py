"""Detects steps of the wall clock by comparison with a monotonic clock."""

from __future__ import annotations

import time


def boot_clock_s() -> float:
    """Monotonic seconds. The clock includes suspended time where the system supports it (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class ClockStepDetector:
    """Detects steps of the wall clock (NTP at start, setting by hand, a restored virtual machine).

    Args:
        step_s: steps up to this length are ignored.
        trusted_after_s: how long the clock must run without a step before it is trusted again.
    """

    def __init__(self, step_s: float, trusted_after_s: float) -> None:
        self._step_s, self._trusted_after_s = step_s, trusted_after_s
        self._offset = time.time() - boot_clock_s()
        self._last_step: tuple[float, float] | None = None  # when, and by how much

    def recent_step_s(self) -> float | None:
        """Seconds by which the clock was last set; None while the clock can be trusted."""
        steady = boot_clock_s()
        offset = time.time() - steady
        if abs(step := offset - self._offset) > self._step_s:
            self._offset, self._last_step = offset, (steady, step)
        if self._last_step is not None and steady - self._last_step[0] >= self._trusted_after_s:
            self._last_step = None
        return None if self._last_step is None else self._last_step[1]
