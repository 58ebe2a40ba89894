"""The time of a frame: PTS seconds, the only clock there is."""

from __future__ import annotations

from typing import Any

from av.video.frame import VideoFrame


class Clock:
    """PTS seconds from the stream's start. Where a PTS is missing or does not grow, the average rate fills in."""

    def __init__(self, stream: Any) -> None:
        self._base = float(stream.time_base or 1 / 90000)
        self._start = (stream.start_time or 0) * self._base
        self.rate = float(stream.average_rate or 25)
        self.last = -1 / self.rate

    def time(self, picture: VideoFrame) -> float:
        if picture.pts is not None and (now := picture.pts * self._base - self._start) > self.last:
            self.last = now
        else:
            self.last += 1 / self.rate
        return max(0.0, self.last)

    def slot(self, pts: float, every: int) -> int:
        """Which group of ``every`` frames of the average rate a time falls into."""
        return round(pts * self.rate) // every
