"""How far apart the frames are that are searched, and so how long a face may be away before its track ends."""

from __future__ import annotations

import numpy as np

SEARCHES = 2.5  # a face may be away for at least so many intervals between searches
LONGEST_S = 10.0  # where frames are further apart than this divided by `SEARCHES`, faces are followed no better


class Pace:
    """Time-lapse recordings, and cameras too many for the machine, are searched seconds apart: with a limit in seconds alone no
    face would ever be found again, and nobody would get a track."""

    def __init__(self) -> None:
        self._before, self._gaps = -np.inf, (np.inf, np.inf)

    def lost_after(self, pts_s: float, lost_s: float) -> float:
        """Seconds without a detection after which a track has ended, at the frame of this time. One long gap, which a camera that
        broke off leaves, changes nothing: two in a row do."""
        if pts_s != self._before:
            self._gaps, self._before = (self._gaps[1], pts_s - self._before), pts_s
        gap = min(self._gaps)
        return max(lost_s, min(SEARCHES * gap, LONGEST_S)) if np.isfinite(gap) else lost_s
