"""Polls cameras whose address gives a single image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from stages.video.container import open_video

POLL_S = 0.5
KEEP_ALIVE_S = 2.0  # the same picture again counts as a new one only so often
MAX_FAILURES = 3  # one answer that fails is not the end


def is_snapshot(url: str, container: Any) -> bool:
    """Return whether an opened address gives one image instead of a stream."""
    return url.lower().startswith(("http://", "https://")) and str(container.format.name).endswith("_pipe")


def snapshots(url: str, poll_s: float = POLL_S) -> Iterator[Any]:
    """Yield a camera's images as they change. An unchanged image is repeated every `KEEP_ALIVE_S` seconds as a sign of life.

    Args:
        url: address of the image.
        poll_s: interval between requests in seconds. Raising it loads the camera less and misses more.

    Raises:
        Exception: the error of the last of `MAX_FAILURES` failed requests in a row.
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
    """Request the image. Returns its bytes and the decoded frame."""
    container, stream = open_video(url)
    try:
        for packet in container.demux(stream):
            content = bytes(packet)
            for picture in packet.decode():
                return content, picture
        raise OSError("no picture")
    finally:
        container.close()
