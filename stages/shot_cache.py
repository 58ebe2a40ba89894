"""Cache of per-shot results, so that a shot that is reported again is not processed again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from stages.records import Track

MAX_TRACKS = 10_000  # tracks are dropped when they end; a reader that crashed leaves some that never do
Value = TypeVar("Value")


class ShotCache(Generic[Value]):
    """Results by track and by PTS of the shot; beyond `MAX_TRACKS` the least recently used track is dropped."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[tuple[str, str], dict[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tracks)

    def values_of(self, track: Track) -> dict[float, Value]:
        """Return the results of a track's shots by PTS. The caller adds new ones to this dict."""
        values = self._tracks.setdefault((track.source, track.track), {})
        self._tracks.move_to_end((track.source, track.track))
        while len(self._tracks) > MAX_TRACKS:
            self._tracks.popitem(last=False)
        return values

    def drop_stale(self, track: Track) -> None:
        """Drop the results of shots that the track no longer has, and of a track that has ended."""
        if track.final:
            self._tracks.pop((track.source, track.track), None)
        elif (values := self._tracks.get((track.source, track.track))) is not None:
            for pts_s in values.keys() - {shot.pts_s for shot in track.shots}:
                del values[pts_s]
