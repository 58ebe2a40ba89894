"""Real servers for the tests of live cameras and alerts, where the machine has them."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT

SYSTEM_PYTHON = "/usr/bin/python3"
GSTREAMER = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


def has_rtsp() -> bool:
    if not Path(SYSTEM_PYTHON).exists():
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", GSTREAMER], capture_output=True).returncode == 0


needs_rtsp = pytest.mark.skipif(not has_rtsp(), reason="needs GStreamer's RTSP server: see .ci/run")
needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None, reason="needs mosquitto: see .ci/run"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def start_rtsp(port: int, **files: Path) -> subprocess.Popen[str]:
    """Serve files by name; returns once it listens. Stop it with `stop`."""
    names = [f"{name}={path}" for name, path in files.items()]
    script = [SYSTEM_PYTHON, str(ROOT / "evaluation" / "rtsp_server.py"), str(port), *names]
    server = subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None and server.stdout.readline() == "ready\n"
    return server


def start_mosquitto(port: int, folder: Path, *more: str) -> subprocess.Popen[str]:
    """A broker that keeps what it has to deliver in memory alone; ``more`` are lines of its configuration, which otherwise lets
    anybody in. Returns once it listens."""
    config = folder / "mosquitto.conf"
    lines = [f"listener {port} 127.0.0.1", "persistence false", "user root", *(more or ("allow_anonymous true",))]
    config.write_text("\n".join(lines) + "\n")
    broker = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL, text=True)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return broker
        except OSError:
            time.sleep(0.05)
    raise AssertionError("mosquitto does not listen")


def stop(server: subprocess.Popen[str]) -> None:
    server.kill()
    server.wait()


class Receiver:
    """A webhook's other end: keeps what it is sent; ``answers`` are the status codes it gives, the last one for ever, with
    ``headers`` and the pieces of a ``body``."""

    def __init__(
        self,
        port: int = 0,
        answers: tuple[int, ...] = (200,),
        headers: dict[str, str] | None = None,
        body: Iterable[bytes] = (),
    ) -> None:
        self.got: list[tuple[dict[str, str], bytes, float]] = []
        self._answers = list(answers)
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code = receiver._answers.pop(0) if len(receiver._answers) > 1 else receiver._answers[0]
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body, time.time()))
                self.send_response(code)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for piece in body:
                        self.wfile.write(piece)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/alerts"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def contents(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body, _ in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for something to be true; fails if it does not become so in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
