"""The source of the live graph: a camera that reconnects by itself and gives its newest frame."""

from __future__ import annotations

import random
import time
from enum import StrEnum
from typing import Any, Literal

from pipeline.errors import redact
from pipeline.protocol import Batch, SourceSpec
from stages.records import Frame
from stages.video.boot import boot_id
from stages.video.container import check_detect_every
from stages.video.deinterlace import mode_of
from stages.video.port_probe import PortProbe
from stages.video.reader_process import ReaderProcess
from stages.video.source import VideoSource
from stages.video.stall_detector import StallDetector

FRAME_WAIT_S = 0.2  # longest single wait for a frame
STATUS_EVERY_S = 0.5  # `read` returns this often without a frame, so that the caller can show the camera's state
BACKOFF_S = (1.0, 30.0)  # first and longest wait between attempts to connect
COUNT_NAMES = {
    "decoded": "frames_decoded",
    "dropped": "dropped_for_newer",
    "corrupt": "corrupt_frames",
    "too_large": "frames_too_large",
}
STABLE_S = 10.0  # after a connection of this length the next wait is the shortest again


class State(StrEnum):
    """State of a camera's connection."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    BACKING_OFF = "backing off"
    STOPPED = "stopped"


class Camera(VideoSource):
    """Reads one camera at a time in a process of its own (`stages.video.camera_reader`).

    A reader process that gives no frame in time is killed and started again. The wait before the next attempt doubles up to 30
    seconds, with jitter; it ends early when a closed port opens.

    PTS are seconds since ``epoch`` by the arrival time of each frame. The time stamps of cameras are not used: they jump, stop
    and restart. This clock is the same for all cameras and never goes back.

    Args:
        detect_every: detect in every n-th frame; ``auto`` chooses a rate from the frame size. Raising it is faster and misses
            faces that are seen briefly.
        connect_s: time limit for the first frame in seconds.
        stall_s: time limit for each further frame in seconds; None learns it from the camera (`StallDetector`). The camera's
            option ``patience_s`` takes precedence.
        transport: transport of RTSP; ``udp`` has lower latency on a network without packet loss.
        live_seconds: stop after this many seconds; None runs until `stop`.
        epoch: Unix time of PTS 0; None for the time of `start`.
        epoch_clock: boot id (`boot_id`) and monotonic clock at ``epoch``. With it, setting the system clock changes no PTS.
        deinterlace: ``auto`` deinterlaces frames that are flagged as interlaced, ``on`` all, ``off`` none.

    Raises:
        ValueError: an argument is not allowed.
    """

    live = True  # frames may be dropped for newer ones, and there are no checkpoints

    def __init__(
        self,
        detect_every: int | Literal["auto"] = "auto",
        connect_s: float = 15.0,
        stall_s: float | None = None,
        transport: Literal["tcp", "udp"] = "tcp",
        live_seconds: float | None = None,
        epoch: float | None = None,
        epoch_clock: tuple[str, float] | None = None,
        deinterlace: Literal["auto", "off", "on"] | bool = "auto",
    ) -> None:
        super().__init__()
        check_detect_every(detect_every)
        if transport not in ("tcp", "udp"):
            raise ValueError(f"transport = {transport!r}: must be tcp or udp")
        self._reader_options = {"transport": transport, "detect_every": detect_every, "deinterlace": mode_of(deinterlace)}
        self._connect_s, self._stall_s, self._live_seconds = connect_s, stall_s, live_seconds
        self._epoch, self._epoch_clock = epoch, epoch_clock
        self._reader: ReaderProcess | None = None
        self._enter(State.STOPPED)

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        self._begin(spec)
        self._report.choices["clock"] = "seconds since the start of watching"
        self._began = time.monotonic()
        self._pts_offset_s = self._pts_offset()
        self._index, self._last_s = 0, -1.0
        self._previous_totals = dict.fromkeys(COUNT_NAMES, 0)  # of earlier reader processes
        self._totals = self._previous_totals
        self._wait_s, self._retry_at = BACKOFF_S[0], 0.0
        options = dict(spec.options)
        patience_s = options.pop("patience_s", None)
        self._options = options
        stall_s = self._stall_s if patience_s is None else float(patience_s)
        self._stall_detector = StallDetector(self._connect_s, stall_s, float(options.get("poll_s", 0)))
        self._port = PortProbe(spec.url)
        self._enter(State.BACKING_OFF)

    def read(self) -> Batch | None:
        """Wait for the next frame.

        Returns:
            One frame; an empty list if the stream broke off or no frame came for a while; None to stop.
        """
        waiting_since = time.monotonic()
        while not self._is_over():
            if self.state is not State.STREAMING and time.monotonic() - waiting_since > STATUS_EVERY_S:
                return []
            if self._reader is None:
                if not self._should_connect():
                    self._stop.wait(FRAME_WAIT_S / 4)
                    continue
                self._connect()
            assert self._reader is not None
            requested = time.monotonic()
            item = self._reader.next_frame(FRAME_WAIT_S)
            if isinstance(item, dict):
                return [self._frame(item)]
            if isinstance(item, str):
                self._give_up(item)
                return []
            if self._stall_detector.wait(time.monotonic() - requested):
                self._count("stalls")
                self._stall_detector.give_up()
                self._give_up(f"silent for {self._stall_detector.waited_s:.0f} s")
                return []
        self._enter(State.STOPPED)
        return None

    def close(self) -> None:
        self._stop.set()
        if self._reader is not None:
            self._reader.kill()
            self._reader = None
        self._enter(State.STOPPED)

    def _enter(self, state: State) -> None:
        self.state = state
        self._report.state = state.value

    def _pts_offset(self) -> float:
        """Return the PTS at zero of the monotonic clock. It is fixed, so that setting the system clock changes no PTS."""
        if self._epoch_clock is not None and self._epoch_clock[0] and self._epoch_clock[0] == boot_id():
            return -self._epoch_clock[1]
        return time.time() - time.monotonic() - (self._epoch or time.time())  # another machine's clock

    def _is_over(self) -> bool:
        return self._stop.is_set() or (self._live_seconds is not None and time.monotonic() - self._began > self._live_seconds)

    def _connect(self) -> None:
        self._enter(State.CONNECTING)
        self._connected = time.monotonic()
        self._stall_detector.begin()
        self._reader = ReaderProcess({"url": self._spec.url, **self._reader_options, **self._options})

    def _frame(self, item: dict[str, Any]) -> Frame:
        self._enter(State.STREAMING)
        self._stall_detector.frame(item["at"], item["decoded"])
        self._report.reason = ""
        self._totals = {key: self._previous_totals[key] + item[key] for key in self._previous_totals}
        always = ("decoded", "dropped")
        self._report.counts |= {n: self._totals[key] for key, n in COUNT_NAMES.items() if self._totals[key] or key in always}
        captured = item["at"] - time.monotonic() + time.time()
        pts_s = max(item["at"] + self._pts_offset_s, self._last_s + 1e-3)
        self._last_s = self._report.position_s = pts_s
        self._index += 1
        self._report.counts["frames_searched"] = self._index
        return Frame(self._spec.name, self._index - 1, pts_s, item["image"], captured, item["damaged"])

    def _give_up(self, why: str) -> None:
        """End the reader process and start the wait before the next one."""
        assert self._reader is not None
        self._reader.kill()
        self._reader = None
        self._previous_totals = self._totals
        if time.monotonic() - self._connected > STABLE_S:
            self._wait_s = BACKOFF_S[0]
        self._back_off(why)

    def _back_off(self, why: str) -> None:
        self._count("reconnects")
        self._report.reason = redact(f"reconnecting: {why}")
        self._retry_at = time.monotonic() + self._wait_s * random.uniform(0.75, 1.25)
        self._wait_s = min(2 * self._wait_s, BACKOFF_S[1])
        self._enter(State.BACKING_OFF)

    def _should_connect(self) -> bool:
        """Return whether to start a reader process now: the port is not closed, and the wait is over or the port has opened."""
        due = time.monotonic() >= self._retry_at
        before, now = self._port.open, self._port.check()
        if now is False:
            if due:
                self._back_off(self._port.why)
            return False
        if now and before is False:
            self._wait_s = BACKOFF_S[0]  # the camera has just started, so a failure may be brief
            return True
        return due

    def _count(self, what: str) -> None:
        self._report.counts[what] = self._report.counts.get(what, 0) + 1
