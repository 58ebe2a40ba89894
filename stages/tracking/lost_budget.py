"""How long a track may go without a detection before it ends, given the interval between searched frames."""

from __future__ import annotations

from collections import deque
from typing import Any

MIN_INTERVALS = 2.5  # the budget is at least this many intervals between searched frames
MAX_SIZE_RATIO = 1.5  # largest change of a face's width from one detection to the next
MAX_LOST_S = 10.0  # upper limit of a budget that is extended for long intervals


class LostTrackBudget:
    """Extends a lost-track budget in seconds to at least two intervals between searched frames.

    Time-lapse recordings, and cameras on an overloaded machine, are searched seconds apart. With a fixed budget in seconds
    every track would end after its first detection.
    """

    def __init__(self) -> None:
        self._previous_s: float | None = None
        self._gaps: deque[float] = deque(maxlen=4)

    def limit_s(self, pts_s: float, lost_s: float, after_skip: bool = False) -> float:
        """Return the seconds without a detection after which a track ends. Call it once per searched frame.

        The budget follows the second longest of the last four intervals, so that one gap of a camera that reconnected does not
        extend it.

        Args:
            pts_s: time of the frame in seconds.
            lost_s: the configured budget in seconds.
            after_skip: the interval before this frame was skipped on purpose; it tells nothing about the pace.
        """
        if self._previous_s is not None and pts_s != self._previous_s and not after_skip:
            self._gaps.append(pts_s - self._previous_s)
        self._previous_s = pts_s
        gap = sorted(self._gaps)[-2:][0] if self._gaps else 0.0
        return max(lost_s, min(MIN_INTERVALS * gap, MAX_LOST_S))

    def state(self) -> Any:
        return {"before": self._previous_s, "gaps": list(self._gaps)}

    def restore(self, state: Any) -> None:
        self._previous_s, self._gaps = state["before"], deque(map(float, state["gaps"]), maxlen=4)
