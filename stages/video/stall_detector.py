"""Decides when a camera that gives no frame is reconnected."""

from __future__ import annotations

from collections import deque

SECOND_FRAME_S = 30.0  # limit for the second frame, while the interval is unknown
MIN_STALL_S, MAX_STALL_S = 8.0, 600.0
MAX_CONNECT_S = 60.0
MISSED_FRAMES = 4.0  # the limit is this many intervals
INTERVALS = 8  # how many of the last intervals are kept
MAX_WAIT_COUNTED_S = 1.0  # a single longer wait counts as this: the process was stopped, or the machine slept


class StallDetector:
    """Counts the time spent waiting for a frame. Time without a request, as under back-pressure, does not count.

    Args:
        connect_s: time limit for the first frame in seconds. It is doubled after each failure, up to a minute.
        stall_s: time limit for each further frame in seconds. Raising it reconnects later. None learns it from the camera: four
            of its usual intervals, at least 8 seconds. While the interval is unknown, the limit is 30 seconds, doubled after
            each failure.
        interval_s: interval between frames in seconds, if known beforehand (a camera that is polled).
    """

    def __init__(self, connect_s: float, stall_s: float | None, interval_s: float = 0.0) -> None:
        self._connect_s = self._first_connect_s = connect_s if stall_s is None else max(connect_s, stall_s)
        self._stall_s = stall_s
        self._first_s = max(SECOND_FRAME_S, MISSED_FRAMES * interval_s)
        self._intervals: deque[float] = deque(maxlen=INTERVALS)
        self._last: tuple[float, int] | None = None
        self.waited_s = 0.0

    def begin(self) -> None:
        """Start a new connection."""
        self._last, self.waited_s = None, 0.0

    def frame(self, at: float, decoded: int) -> None:
        """Report a frame.

        Args:
            at: its arrival time, seconds of a monotonic clock.
            decoded: frames decoded so far in this connection.
        """
        if self._last is not None and decoded > self._last[1]:
            self._intervals.append(max(0.0, at - self._last[0]) / (decoded - self._last[1]))
        self._last, self.waited_s, self._connect_s = (at, decoded), 0.0, self._first_connect_s

    def wait(self, seconds: float) -> bool:
        """Count a wait without a frame. Returns whether the time limit is exceeded."""
        self.waited_s += min(seconds, MAX_WAIT_COUNTED_S)
        return self.waited_s > self.limit_s

    @property
    def limit_s(self) -> float:
        """The current time limit in seconds."""
        usual = self._learned_limit_s()
        if self._last is None:
            return max(self._connect_s, usual if self._stall_s is None else 0.0)
        if self._stall_s is not None:
            return self._stall_s
        return usual if self._intervals else self._first_s

    def give_up(self) -> None:
        """Report that the time limit was exceeded. A limit that was not learned is doubled."""
        if self._last is None:
            self._connect_s = max(self._connect_s, min(2 * self._connect_s, MAX_CONNECT_S))
        elif not self._intervals:
            self._first_s = min(2 * self._first_s, MAX_STALL_S)

    def _learned_limit_s(self) -> float:
        """The limit from the second longest of the last intervals, so that a single outlier does not count."""
        gap = sorted(self._intervals)[-2:][0] if self._intervals else 0.0
        return min(max(MIN_STALL_S, MISSED_FRAMES * gap), MAX_STALL_S)
