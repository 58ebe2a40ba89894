"""How long a camera may be silent before it is connected anew."""

from __future__ import annotations

from collections import deque

FIRST_S = 30.0  # for the second frame, while nobody knows how often there is one
SHORTEST_S, LONGEST_S = 8.0, 600.0
LONGEST_CONNECT_S = 60.0
GAPS = 4.0  # a camera may miss so many frames
REMEMBERED = 8
LOOK_S = 1.0  # no single wait counts for longer: a process that was stopped, or a machine that slept, did not wait


class Silence:
    """Counts the time spent waiting for a camera. Time in which nobody asked for a frame, as under back-pressure, does not count.

    Args:
        connect_s: how long the first frame may take. After a camera that gave none it is doubled, up to a minute.
        stall_s: how long each next frame may take. None learns it from the camera: four of its usual intervals, at least 8
            seconds; 30 seconds while the interval is unknown, doubled each time the second frame does not come.
        apart_s: the interval that is known beforehand, of a camera that is asked for each frame.
    """

    def __init__(self, connect_s: float, stall_s: float | None, apart_s: float = 0.0) -> None:
        self._connect_s = self._first_connect_s = connect_s if stall_s is None else max(connect_s, stall_s)
        self._stall_s = stall_s
        self._first_s = max(FIRST_S, GAPS * apart_s)
        self._gaps: deque[float] = deque(maxlen=REMEMBERED)
        self._last: tuple[float, int] | None = None
        self.waited_s = 0.0

    def begin(self) -> None:
        """A new connection."""
        self._last, self.waited_s = None, 0.0

    def frame(self, at: float, decoded: int) -> None:
        """A frame came at ``at`` (seconds of a monotonic clock); ``decoded`` counts all of this connection."""
        if self._last is not None and decoded > self._last[1]:
            self._gaps.append(max(0.0, at - self._last[0]) / (decoded - self._last[1]))
        self._last, self.waited_s, self._connect_s = (at, decoded), 0.0, self._first_connect_s

    def wait(self, seconds: float) -> bool:
        """Count a wait in which no frame came. Returns whether the camera has been silent for too long."""
        self.waited_s += min(seconds, LOOK_S)
        return self.waited_s > self.limit_s

    @property
    def limit_s(self) -> float:
        """How long it may be silent now."""
        usual = self._usual_s()
        if self._last is None:
            return max(self._connect_s, usual if self._stall_s is None else 0.0)
        if self._stall_s is not None:
            return self._stall_s
        return usual if self._gaps else self._first_s

    def give_up(self) -> None:
        """It was silent for too long: the next time it gets more."""
        if self._last is None:
            self._connect_s = max(self._connect_s, min(2 * self._connect_s, LONGEST_CONNECT_S))
        elif not self._gaps:
            self._first_s = min(2 * self._first_s, LONGEST_S)

    def _usual_s(self) -> float:
        """By the second longest of the last intervals: one alone may have been a fault."""
        gap = sorted(self._gaps)[-2:][0] if self._gaps else 0.0
        return min(max(SHORTEST_S, GAPS * gap), LONGEST_S)
