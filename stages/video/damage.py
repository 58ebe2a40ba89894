"""Detects frames with artefacts of lost video data."""

from __future__ import annotations

from collections import Counter

from av.video.frame import VideoFrame

SMEAR_S = 2.0  # frames this long after a damaged one count as smeared, unless a key frame comes first


class DamageDetector:
    """Call it with each frame in order. A frame is damaged if the decoder flags it, or if it was predicted from such a frame.

    Decoders only flag a frame whose own data was wrong. The frames after it carry its artefacts on until the next key frame.
    ``counts`` has ``corrupt_frames`` and ``smeared_frames``.
    """

    def __init__(self) -> None:
        self._smear_s = 0.0
        self._last: float | None = None
        self.counts: Counter[str] = Counter()

    def __call__(self, picture: VideoFrame, pts_s: float, lost: bool = False) -> bool:
        """Return whether a frame is damaged.

        Args:
            picture: the decoded frame.
            pts_s: its time in seconds.
            lost: whether frames before it are missing.
        """
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
