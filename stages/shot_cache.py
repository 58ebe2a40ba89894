"""What a stage has worked out of a track's shots for an earlier report, so that no shot is worked on twice."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from stages.records import Track

MOST_TRACKS = 10_000  # kept until they end; a reader that died leaves some behind
Value = TypeVar("Value")


class Known(Generic[Value]):
    """Values by track and by PTS of the shot."""

    def __init__(self) -> None:
        self._tracks: OrderedDict[tuple[str, str], dict[float, Value]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tracks)

    def of(self, track: Track) -> dict[float, Value]:
        """What is known of a track's shots; to be added to."""
        values = self._tracks.setdefault((track.source, track.track), {})
        self._tracks.move_to_end((track.source, track.track))
        while len(self._tracks) > MOST_TRACKS:
            self._tracks.popitem(last=False)
        return values

    def drop_stale(self, track: Track) -> None:
        """Forget shots that better ones have replaced, and a track that has ended."""
        if track.final:
            self._tracks.pop((track.source, track.track), None)
        elif (values := self._tracks.get((track.source, track.track))) is not None:
            for pts_s in values.keys() - {shot.pts_s for shot in track.shots}:
                del values[pts_s]
