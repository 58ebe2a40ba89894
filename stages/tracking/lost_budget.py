"""How far apart the frames are that are searched, and so how long a face may be away before its track ends."""

from __future__ import annotations

from collections import deque
from typing import Any

SEARCHES = 2.5  # a face may be away for at least so many intervals between searches
GROWTH = 1.5  # largest change of a face's width from one detection to the next
LONGEST_S = 10.0  # but for no longer: frames further apart are not followed


class Pace:
    """Time-lapse recordings, and cameras too many for the machine, are searched seconds apart: with a limit in seconds alone no
    face would ever be found again, and nobody would get a track."""

    def __init__(self) -> None:
        self._before: float | None = None
        self._gaps: deque[float] = deque(maxlen=4)

    def lost_after(self, pts_s: float, lost_s: float) -> float:
        """Seconds without a detection after which a track has ended, at the frame of this time. One long gap, which a camera that
        broke off leaves, changes nothing: two among four do."""
        if self._before is not None and pts_s != self._before:
            self._gaps.append(pts_s - self._before)
        self._before = pts_s
        gap = sorted(self._gaps)[-2:][0] if self._gaps else 0.0
        return max(lost_s, min(SEARCHES * gap, LONGEST_S))

    def state(self) -> Any:
        return {"before": self._before, "gaps": list(self._gaps)}

    def restore(self, state: Any) -> None:
        self._before, self._gaps = state["before"], deque(map(float, state["gaps"]), maxlen=4)
