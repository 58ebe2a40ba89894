"""A live camera: the newest frame counts, and a stream that dies comes back by itself."""

from __future__ import annotations

import json
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np

from pipeline.errors import redact, redact_url
from pipeline.protocol import Batch, SourceReport, SourceSpec
from stages.boot import boot_id
from stages.records import Frame
from stages.video.container import check_every
from stages.video.deinterlace import mode_of
from stages.video.silence import Silence

ROOT = Path(__file__).parents[2]
LOOK_S = 0.2
SHOWN_S = 0.5  # whoever reads in the same thread shows what the camera does meanwhile
BACKOFF_S = (1.0, 30.0)
KNOCK_S = 0.5
PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
COUNTS = {
    "decoded": "frames_decoded",
    "dropped": "dropped_for_newer",
    "corrupt": "corrupt_frames",
    "too_large": "frames_too_large",
}
STEADY_S = 10.0  # a stream that lasted so long was well: the next wait is the shortest again


class State(StrEnum):
    """Where a camera stands."""

    CONNECTING = "connecting"
    STREAMING = "streaming"
    BACKING_OFF = "backing off"
    STOPPED = "stopped"


class Camera:
    """The source of the live graph. A process of its own reads the stream (`stages.video.camera_reader`); this side
    watches over it and kills it when it is silent, whatever it hangs in, then tries again after a wait that doubles, with
    jitter, up to 30 s, or as
    soon as a port that was shut opens.

    PTS are seconds since ``epoch`` (Unix time; by default that of `start`), told by when a frame came: cameras' own stamps jump,
    stop and start anew, this clock is one for all cameras and never goes back. ``epoch_clock`` is the monotonic clock at
    ``epoch`` and the boot it was read in: with it a time of day that is set changes no PTS.

    Args:
        detect_every: as for recordings, but ``auto`` goes by the time frames come.
        connect_s: how long a camera may take for its first frame.
        stall_s: how long for each next one; None for what `Silence` learns from it. A camera's ``patience_s`` comes first.
        transport: tcp, or udp for a network that loses nothing.
        live_seconds: stop by itself.
        deinterlace: as for recordings.
    """

    live = True  # frames may be dropped for newer ones, and no checkpoint is kept

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
        check_every(detect_every)
        if transport not in ("tcp", "udp"):
            raise ValueError(f"transport = {transport!r}: must be tcp or udp")
        self._ask = {"transport": transport, "detect_every": detect_every, "deinterlace": mode_of(deinterlace)}
        self._connect_s, self._stall_s, self._live_seconds = connect_s, stall_s, live_seconds
        self._given_epoch, self._epoch_clock = epoch, epoch_clock
        self._stop = threading.Event()
        self._reader: _Reader | None = None
        self._report = SourceReport("", "")
        self._enter(State.STOPPED)

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        self.close()
        self._stop.clear()
        self._spec = spec
        self._report = SourceReport(spec.name, redact_url(spec.url), choices={"clock": "seconds since the start of watching"})
        self._began = time.monotonic()
        self._pts_at_zero = self._find_pts_at_zero()
        self._index, self._last_s = 0, -1.0
        self._before = dict.fromkeys(COUNTS, 0)  # by readers that are gone
        self._seen = self._before
        self._wait_s, self._retry_at = BACKOFF_S[0], 0.0
        options = dict(spec.options)
        patience_s = options.pop("patience_s", None)
        self._options = options
        stall_s = self._stall_s if patience_s is None else float(patience_s)
        self._silence = Silence(self._connect_s, stall_s, float(options.get("poll_s", 0)))
        self._door = _Door(spec.url)
        self._enter(State.BACKING_OFF)

    def read(self) -> Batch | None:
        """Wait for the next frame; nothing when the stream broke off, and now and then while there is none, None when it is time
        to stop."""
        waiting_since = time.monotonic()
        while not self._over():
            if self.state is not State.STREAMING and time.monotonic() - waiting_since > SHOWN_S:
                return []
            if self._reader is None:
                if not self._worth_trying():
                    self._stop.wait(LOOK_S / 4)
                    continue
                self._connect()
            assert self._reader is not None
            asked = time.monotonic()
            item = self._reader.newest(LOOK_S)
            if isinstance(item, dict):
                return [self._frame(item)]
            if isinstance(item, str):
                self._give_up(item)
                return []
            if self._silence.wait(time.monotonic() - asked):
                self._count("stalls")
                self._silence.give_up()
                self._give_up(f"silent for {self._silence.waited_s:.0f} s")
                return []
        self._enter(State.STOPPED)
        return None

    def report(self) -> SourceReport:
        return self._report

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        self._stop.set()
        if self._reader is not None:
            self._reader.kill()
            self._reader = None
        self._enter(State.STOPPED)

    def _enter(self, state: State) -> None:
        self.state = state
        self._report.state = state.value

    def _find_pts_at_zero(self) -> float:
        """PTS of the moment 0 of the monotonic clock. Fixed, so that a clock that is set does not stop or turn back PTS."""
        if self._epoch_clock is not None and self._epoch_clock[0] and self._epoch_clock[0] == boot_id():
            return -self._epoch_clock[1]
        return time.time() - time.monotonic() - (self._given_epoch or time.time())  # another machine's clock

    def _over(self) -> bool:
        return self._stop.is_set() or (self._live_seconds is not None and time.monotonic() - self._began > self._live_seconds)

    def _connect(self) -> None:
        self._enter(State.CONNECTING)
        self._connected = time.monotonic()
        self._silence.begin()
        self._reader = _Reader({"url": self._spec.url, **self._ask, **self._options})

    def _frame(self, item: dict[str, Any]) -> Frame:
        self._enter(State.STREAMING)
        self._silence.frame(item["at"], item["decoded"])
        self._report.reason = ""
        self._seen = {key: self._before[key] + item[key] for key in self._before}
        # Damage is told only where there is some.
        told = {name: self._seen[key] for key, name in COUNTS.items() if self._seen[key] or key in ("decoded", "dropped")}
        self._report.counts |= told
        captured = item["at"] - time.monotonic() + time.time()
        pts_s = max(item["at"] + self._pts_at_zero, self._last_s + 1e-3)
        self._last_s = self._report.position_s = pts_s
        self._index += 1
        self._report.counts["frames_searched"] = self._index
        return Frame(self._spec.name, self._index - 1, pts_s, item["image"], captured, item["damaged"])

    def _give_up(self, why: str) -> None:
        """End this reader and wait before the next one."""
        assert self._reader is not None
        self._reader.kill()
        self._reader = None
        self._before = self._seen
        if time.monotonic() - self._connected > STEADY_S:
            self._wait_s = BACKOFF_S[0]
        self._back_off(why)

    def _back_off(self, why: str) -> None:
        self._count("reconnects")
        self._report.reason = redact(f"reconnecting: {why}")
        self._retry_at = time.monotonic() + self._wait_s * random.uniform(0.75, 1.25)
        self._wait_s = min(2 * self._wait_s, BACKOFF_S[1])
        self._enter(State.BACKING_OFF)

    def _worth_trying(self) -> bool:
        """Whether to start a reader now. A shut port is not worth one; when it opens, waiting has an end."""
        due = time.monotonic() >= self._retry_at
        before, now = self._door.open, self._door.look()
        if now is False:
            if due:
                self._back_off(self._door.why)
            return False
        if now and before is False:
            self._wait_s = BACKOFF_S[0]  # whoever opens it has only just started
            return True
        return due

    def _count(self, what: str) -> None:
        self._report.counts[what] = self._report.counts.get(what, 0) + 1


class _Door:
    """Knocks at a camera's port while nobody reads from it, twice a second. ``open`` is what was found, None without a port."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            self._at = (parts.hostname, parts.port or PORTS.get(parts.scheme, 0))
        except ValueError:  # a port that is none, a password with brackets
            self._at = (None, 0)
        self._next = 0.0
        self.open: bool | None = None
        self.why = ""

    def look(self) -> bool | None:
        """Whether it is open."""
        if all(self._at) and time.monotonic() >= self._next:
            self._next = time.monotonic() + KNOCK_S
            try:
                socket.create_connection(self._at, KNOCK_S / 2).close()
                self.open = True
            except socket.gaierror:
                self.open, self.why = False, "its host's name is not known"
            except OSError as error:
                self.open, self.why = False, f"its port is shut ({error.strerror or 'no answer'})"
        return self.open


class _Reader:
    """One reading process and the thread that takes its answers."""

    def __init__(self, ask: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stages.video.camera_reader"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the parent, who ends it
        )
        self._answers: queue.Queue[dict[str, Any] | str] = queue.Queue()
        self._asked = False
        self._tell(json.dumps(ask))
        threading.Thread(target=self._take, daemon=True).start()

    def newest(self, timeout: float) -> dict[str, Any] | str | None:
        """A frame with its ``image``, why there will be none any more, or None if none came in time."""
        if not self._asked:
            self._asked = self._tell("")
        try:
            answer = self._answers.get(timeout=timeout)
        except queue.Empty:
            return None
        self._asked = False
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _tell(self, line: str) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # it has gone; the taking thread says so
            return False
        return True

    def _take(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while line := pipe.readline():
                answer = json.loads(line)
                if "error" in answer:
                    self._answers.put(str(answer["error"]))
                    return
                size = int(np.prod(answer["shape"]))
                content = pipe.read(size)
                if len(content) < size:
                    break
                image = np.frombuffer(bytearray(content), np.uint8).reshape(answer["shape"])
                self._answers.put({**answer, "image": image})
        except (OSError, ValueError):  # closed under its hands
            pass
        self._answers.put("its reader died")
