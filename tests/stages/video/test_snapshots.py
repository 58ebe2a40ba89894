"""Cameras whose address gives one JPEG: asked for again and again, over real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from stages.records import Frame
from stages.video import snapshots as module
from stages.video.camera import Camera
from stages.video.snapshots import is_snapshot, snapshots

Server = Callable[[Callable[[int], int | None]], str]


@pytest.fixture
def serve() -> Iterator[Server]:
    """Serves a grey picture; its level is what ``level`` makes of the number of the request, None for an error."""
    made: list[ThreadingHTTPServer] = []

    def start(level: Callable[[int], int | None]) -> str:
        asked = [0]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                grey = level(asked[0])
                asked[0] += 1
                self.send_response(503 if grey is None else 200)
                self.send_header("Content-Type", "image/jpeg")
                self.end_headers()
                if grey is not None:
                    self.wfile.write(cv2.imencode(".jpg", np.full((48, 64, 3), grey, np.uint8))[1].tobytes())

            def log_message(self, format: str, *args: object) -> None:
                return

        made.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=made[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{made[-1].server_port}/cgi-bin/snapshot?channel=1"

    yield start
    for server in made:
        server.shutdown()
        server.server_close()


def levels(url: str, count: int) -> list[int]:
    return [round(float(p.to_ndarray(format="gray").mean())) for p in islice(snapshots(url, 0.01), count)]


def test_a_changed_snapshot_is_a_frame_and_an_unchanged_one_is_not(serve: Server) -> None:
    assert levels(serve(lambda n: 40 * (n // 3)), 5) == pytest.approx([0, 40, 80, 120, 160], abs=2)


def test_an_unchanged_snapshot_is_repeated_now_and_then_as_a_sign_of_life(serve: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP_ALIVE_S", 0.2)
    began = time.monotonic()
    assert levels(serve(lambda n: 90), 3) == pytest.approx([90] * 3, abs=2)
    assert 0.4 <= time.monotonic() - began < 3


def test_one_failed_snapshot_is_skipped_and_three_end_the_connection(serve: Server) -> None:
    assert levels(serve(lambda n: None if n in (1, 2) else 20 * n), 2) == pytest.approx([0, 60], abs=2)
    with pytest.raises(SourceError, match=r"5[0-9X]{2}"):
        levels(serve(lambda n: 0 if n == 0 else None), 2)


def test_only_an_address_with_a_single_picture_is_polled(serve: Server) -> None:
    url = serve(lambda n: 50)
    with av.open(url) as container:
        assert is_snapshot(url, container) and not is_snapshot("rtsp://cam/x", container) and not is_snapshot("a.jpg", container)


def test_a_camera_of_snapshots_streams(serve: Server) -> None:
    camera = Camera(detect_every=1, live_seconds=20.0)
    camera.start(SourceSpec("cam", serve(lambda n: n % 250), (("transport", "tcp"), ("poll_s", "0.1"))), None)
    frames: list[Frame] = []
    while len(frames) < 4 and (batch := camera.read()) is not None:
        frames += batch
    camera.close()
    assert len(frames) == 4 and frames[0].image.shape == (48, 64, 3) and "reconnects" not in camera.report().counts
