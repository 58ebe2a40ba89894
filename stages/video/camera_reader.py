"""The process that reads one camera, so that whatever hangs or crashes in a decoder can be killed from outside.

    python -m stages.video.camera_reader        # started by stages.video.camera, talks over stdin and stdout

The first line in is JSON: url, transport, detect_every, deinterlace. Then each line asks for the next frame, the oldest of those
that wait (`Newest`). Each answer is a line of JSON with the frame's shape, the time it came (CLOCK_MONOTONIC, which all
processes share), whether it is damaged, and counters, and the pixels. A last line with ``error`` says why it ends. The address
comes in by stdin because it may hold a password, which arguments show. When stdin ends, so does the process: nobody is left to
read for.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pipeline.errors import SourceError
from stages.video.clock import Clock
from stages.video.container import Packets, one_at_a_time, open_video, shape_of_pixels, wanted_rate, why
from stages.video.damage import Damage
from stages.video.deinterlace import Deinterlacer, mode_of
from stages.video.pixels import pixels_of
from stages.video.snapshots import POLL_S, is_snapshot, snapshots

BREATH = 6  # pictures that may wait while the machine is busy with something else for a moment
BUNCH = 2  # pictures that may come at once without being thought too many
OVERRUN_S = 10.0  # so long after a dropped picture only the newest may wait


class Newest:
    """The newest pictures; older ones that nobody took are dropped and counted.

    A machine that keeps up may pause for a few pictures and loses none. One that does not keep up gets the newest only: pictures
    that wait would be late, and as many would be dropped in the end.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Any, float]] = deque()
        self._overrun_until = 0.0
        self.error = ""
        self.decoded = self.dropped = self.corrupt = self.too_large = 0
        self.shape = 1.0  # of a pixel

    def counts(self) -> dict[str, int]:
        return {"decoded": self.decoded, "dropped": self.dropped, "corrupt": self.corrupt, "too_large": self.too_large}

    def put(self, picture: Any) -> None:
        with self._changed:
            now = time.monotonic()
            if len(self._waiting) >= (1 if now < self._overrun_until else BREATH):
                self.dropped += len(self._waiting)
                self._waiting.clear()
                self._overrun_until = now + OVERRUN_S
            self._waiting.append((picture, now))
            self._changed.notify()

    def end(self, error: str) -> None:
        with self._changed:
            self.error = error
            self._changed.notify()

    def take(self) -> tuple[Any, float] | None:
        """Wait for a picture; None when reading has ended."""
        with self._changed:
            while not self._waiting and not self.error:
                self._changed.wait()
            return self._waiting.popleft() if self._waiting else None


class Picker:
    """Which pictures go on. ``auto`` goes by the time they come, not by the rate a camera tells, which may be none or by day."""

    def __init__(self, detect_every: int | Literal["auto"], rate: float) -> None:
        self._every, self._apart, self._due, self._index = detect_every, 1 / rate, 0.0, -1

    def takes(self, now: float) -> bool:
        """Whether to take the picture that has come ``now``, in seconds. Some may come in a bunch."""
        self._index += 1
        if self._every != "auto":
            return self._index % self._every == 0
        if now < self._due:
            return False
        self._due = max(self._due, now - BUNCH * self._apart) + self._apart
        return True


def decode(
    newest: Newest,
    url: str,
    transport: str,
    detect_every: int | Literal["auto"],
    poll_s: float | str = POLL_S,
    deinterlace: str = "auto",
) -> None:
    """Read until the stream ends or fails."""
    try:
        container, stream = open_video(url, transport, timeout_s=None)  # the watchdog outside knows this camera's patience
        one_at_a_time(stream)  # threads by frame give each one later, by as many frames as there are threads
        newest.shape = shape_of_pixels(stream)
        picker = Picker(detect_every, wanted_rate(stream))
        packets, damage, deinterlacer = Packets(container, stream), Damage(), Deinterlacer(mode_of(deinterlace))
        pictures: Iterable[Any] = packets
        if is_snapshot(url, container):
            container.close()  # some cameras take one caller at a time
            pictures = snapshots(url, float(poll_s))
        paced, started = Path(url).is_file(), time.monotonic()

        def judged() -> Iterator[tuple[Any, bool]]:
            if paced:  # a file in a camera's place plays at its own pace
                for picture, pts_s in Clock(container, stream, hurried=True).timed(packets):
                    time.sleep(max(0.0, started + pts_s - time.monotonic()))
                    yield picture, damage(picture, pts_s)
            else:
                for picture in pictures:
                    yield picture, damage(picture, time.monotonic())

        for picture, damaged in deinterlacer(judged()):
            newest.decoded += 1
            newest.corrupt = damage.counts["corrupt_frames"]
            newest.too_large = packets.oversized
            if picker.takes(time.monotonic()):
                newest.put((picture, damaged))
        large = f" ({packets.oversized} frames are above the limit)" if packets.oversized else ""
        newest.end(f"the stream ended{large}")
    except Exception as error:  # a decoder raises whatever it pleases; the parent is told and starts another reader
        newest.end(str(error) if isinstance(error, SourceError) else why(error))


def answer(newest: Newest, asked: threading.Semaphore, out: BinaryIO) -> None:
    """Send the oldest picture that waits whenever one is asked for."""
    while True:
        asked.acquire()
        taken = newest.take()
        if taken is None:
            out.write(json.dumps({"error": newest.error}).encode() + b"\n")
            out.flush()
            return
        (picture, damaged), at = taken
        pixels = pixels_of(picture, shape=newest.shape)
        head = {"shape": pixels.shape, "at": at, "damaged": bool(damaged)} | newest.counts()
        out.write(json.dumps(head).encode() + b"\n")
        out.write(pixels.tobytes())
        out.flush()


def main() -> None:
    # Libraries write to stdout as they please; the frames get a channel of their own.
    out: BinaryIO = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    newest, asked = Newest(), threading.Semaphore(0)
    threading.Thread(target=decode, args=(newest,), kwargs=json.loads(sys.stdin.readline()), daemon=True).start()
    threading.Thread(target=answer, args=(newest, asked, out), daemon=True).start()
    for _ in sys.stdin:
        asked.release()
    os._exit(0)  # threads may hang in a decoder


if __name__ == "__main__":
    main()
