"""Which frames show what was never filmed, because data of the video are lost."""

from __future__ import annotations

from collections import Counter

from av.video.frame import VideoFrame

SMEAR_S = 2.0  # so long after a damaged frame those built upon it are doubted, unless a whole key frame comes before


class Damage:
    """Told of each frame in its order, says whether it is damaged: flagged so by the decoder, or built upon such a frame.
    Decoders flag only what was wrong with a frame's own data; what follows carries the smear on until the next key frame."""

    def __init__(self) -> None:
        self._smear_s = 0.0
        self._last: float | None = None
        self.counts: Counter[str] = Counter()

    def __call__(self, picture: VideoFrame, pts_s: float, lost: bool = False) -> bool:
        """Whether this frame is damaged. ``lost``: data before it are missing."""
        self._smear_s -= 0.0 if lost or self._last is None else pts_s - self._last
        self._last = pts_s
        if picture.is_corrupt:
            self._smear_s = SMEAR_S
            self.counts["corrupt_frames"] += 1
            return True
        if picture.key_frame:
            self._smear_s = 0.0
            return False
        if lost:
            self._smear_s = SMEAR_S
        if self._smear_s > 0:
            self.counts["smeared_frames"] += 1
            return True
        return False
