"""The parent's side of a camera reader process (`stages.video.camera_reader`)."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]


class ReaderProcess:
    """Starts a reader process and requests frames from it, one at a time.

    Args:
        options: keywords of `stages.video.camera_reader.decode`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stages.video.camera_reader"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches the parent only, which then ends this process
        )
        self._received: queue.Queue[dict[str, Any] | str] = queue.Queue()
        self._request_pending = False
        self._send(json.dumps(options))
        threading.Thread(target=self._receive, daemon=True).start()

    def next_frame(self, timeout: float) -> dict[str, Any] | str | None:
        """Wait for the next frame.

        Args:
            timeout: longest wait in seconds.

        Returns:
            A frame: its ``image``, ``at`` (CLOCK_MONOTONIC seconds), ``damaged`` and the reader's counters. A string if reading
            has ended: the reason. None if no frame came in time.
        """
        if not self._request_pending:
            self._request_pending = self._send("")
        try:
            received = self._received.get(timeout=timeout)
        except queue.Empty:
            return None
        self._request_pending = False
        return received

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _send(self, line: str) -> bool:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError):  # the process has ended; the receiving thread reports it
            return False
        return True

    def _receive(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None
        try:
            while line := pipe.readline():
                header = json.loads(line)
                if "error" in header:
                    self._received.put(str(header["error"]))
                    return
                size = int(np.prod(header["shape"]))
                content = pipe.read(size)
                if len(content) < size:
                    break
                image = np.frombuffer(bytearray(content), np.uint8).reshape(header["shape"])
                self._received.put({**header, "image": image})
        except (OSError, ValueError):  # `kill` closed the pipe during a read
            pass
        self._received.put("its reader died")
