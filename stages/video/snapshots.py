"""Cameras that give a single picture at their address, which is asked for again and again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from stages.video.container import open_video

POLL_S = 0.5
KEEP_ALIVE_S = 2.0  # the same picture again counts as a new one only so often
MAX_FAILURES = 3  # one answer that fails is not the end


def is_snapshot(url: str, container: Any) -> bool:
    """Whether an opened address gives one picture and not a stream."""
    return url.lower().startswith(("http://", "https://")) and str(container.format.name).endswith("_pipe")


def snapshots(url: str, poll_s: float = POLL_S) -> Iterator[Any]:
    """The pictures of a camera as they change, one request each ``poll_s`` seconds.

    A picture that stays the same is given again each `KEEP_ALIVE_S` seconds, which says that the camera is well. Raises what the
    last of `MAX_FAILURES` failing requests raised.
    """
    before, given_at, failures = b"", 0.0, 0
    while True:
        began = time.monotonic()
        try:
            content, picture = _request(url)
            failures = 0
        except Exception:
            failures += 1
            if failures == MAX_FAILURES:
                raise
        else:
            if content != before or began - given_at >= KEEP_ALIVE_S:
                before, given_at = content, began
                yield picture
        time.sleep(max(0.0, began + poll_s - time.monotonic()))


def _request(url: str) -> tuple[bytes, Any]:
    """The picture as it came and decoded."""
    container, stream = open_video(url)
    try:
        for packet in container.demux(stream):
            content = bytes(packet)
            for picture in packet.decode():
                return content, picture
        raise OSError("no picture")
    finally:
        container.close()
