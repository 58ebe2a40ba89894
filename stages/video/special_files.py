"""Paths that are not regular files: pipes are read with a time limit, devices and sockets are rejected."""

from __future__ import annotations

import io
import os
import select
import stat
import time
from pathlib import Path

from pipeline.errors import SourceError

FIRST_DATA_S = 10.0  # longest wait for the first data in a pipe
NEXT_DATA_S = 30.0  # longest wait for further data


class Pipe(io.FileIO):
    """A named pipe with time limits. Reading raises SourceError if nobody writes into it in time."""

    def __init__(self, path: str) -> None:
        super().__init__(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "r")
        self._begun = False

    def read(self, size: int | None = -1, /) -> bytes:
        until = time.monotonic() + (NEXT_DATA_S if self._begun else FIRST_DATA_S)
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        while (left := until - time.monotonic()) > 0:
            if not poll.poll(1000 * min(left, 0.2)):
                continue
            data = super().read(size)
            if data or (data == b"" and self._begun):
                self._begun = True
                return data
            time.sleep(0.02)  # its last writer has gone before it wrote anything
        waited = f"{NEXT_DATA_S if self._begun else FIRST_DATA_S:.0f} s"
        raise SourceError(f"a pipe into which nobody {'went on writing' if self._begun else 'writes'} ({waited} waited)")

    def seekable(self) -> bool:
        return False


def is_pipe(url: str) -> bool:
    """Return whether a path is a pipe, which can be read only once."""
    return stat.S_ISFIFO(_mode(url))


def refusal_reason(url: str) -> str:
    """Return why a path cannot be a recording, judged without opening it; "" if it may be one, or is a URL."""
    mode = _mode(url)
    if stat.S_ISCHR(mode) and Path(url).name.startswith("video"):
        return "a camera, no recording; watch it with `live`"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return "a device, no recording"
    return "a socket, no recording" if stat.S_ISSOCK(mode) else ""


def _mode(url: str) -> int:
    if "://" in url:
        return 0
    try:
        return Path(url).stat().st_mode
    except (OSError, ValueError):
        return 0
