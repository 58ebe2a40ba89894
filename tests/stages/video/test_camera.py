"""Cameras that are silent, stop, send rubbish, end or lose their reader; real sockets, real reading processes."""

from __future__ import annotations

import base64
import functools
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.addresses import encode_credentials
from pipeline.protocol import SourceSpec
from stages.records import Frame
from stages.video import stall_detector
from stages.video.boot import boot_id
from stages.video.camera import Camera, State
from tests.clips import write_clip
from tests.servers import free_port, needs_rtsp, start_rtsp, stop

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
JPEG_PART = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(JPEG)}\r\n\r\n".encode() + JPEG + b"\r\n"
TIMES = [k / 10 for k in range(15)]


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], str]]:
    """Starts a server on loopback that does with each caller what it is told to; gives its address."""
    made = []

    def start(behave: Callable[[socket.socket], None]) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        made.append(server)

        def accept() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=behave, args=(caller,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return f"http://joe:secret@127.0.0.1:{server.getsockname()[1]}/cam"

    yield start
    for server in made:
        server.close()


@pytest.fixture
def watch() -> Iterator[Callable[..., Camera]]:
    made = []

    def start(url: object, **keywords: object) -> Camera:
        camera = Camera(detect_every=1, **{"connect_s": 3.0, "stall_s": 1.0, "live_seconds": 60.0, **keywords})  # type: ignore[arg-type]
        made.append(camera)
        camera.start(SourceSpec("cam", str(url)), None)
        return camera

    yield start
    for camera in made:
        camera.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("camera") / "a.ts", TIMES, codec="mpeg2video")


def next_frame(camera: Camera) -> Frame:
    """The next one, however often the stream breaks off before."""
    while not (batch := camera.read()):
        assert batch is not None, "it stopped"
    return batch[0]


def http(caller: socket.socket, content: bytes) -> None:
    caller.recv(4096)
    caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)


def test_the_newest_frame_counts_and_older_ones_are_counted(watch, clip: Path) -> None:  # type: ignore[no-untyped-def]
    camera = watch(clip)
    first = [next_frame(camera)]
    assert camera.state is State.STREAMING
    time.sleep(1.0)  # meanwhile it goes on, at its own pace
    second = [next_frame(camera)]
    assert second[0].pts_s > first[0].pts_s and second[0].index == 1 and second[0].image.shape == (48, 64, 3)
    counts = camera.report().counts
    assert 8 <= counts["frames_decoded"] <= 15 and counts["dropped_for_newer"] >= 5


def test_a_stream_that_ends_comes_back_and_its_clock_never_goes_back(watch, clip: Path) -> None:  # type: ignore[no-untyped-def]
    camera = watch(clip)
    times = []
    while camera.report().counts.get("reconnects", 0) < 2:
        times.append(next_frame(camera).pts_s)
    assert times == sorted(set(times)) and times[-1] - times[0] > 0.7  # the time of waiting counts
    assert camera.report().reason in ("", "reconnecting: the stream ended")


@pytest.mark.parametrize("kind", ["silent", "stops", "rubbish"])
def test_bad_cameras_are_given_up_and_tried_again(watch, serve, clip: Path, kind: str) -> None:  # type: ignore[no-untyped-def]
    content = clip.read_bytes() * 4

    def behave(caller: socket.socket) -> None:
        if kind == "stops":
            http(caller, content[: len(content) * 2 // 3])
        elif kind == "rubbish":
            http(caller, os.urandom(200_000))
            caller.close()
            return
        time.sleep(30)

    camera = watch(serve(behave), connect_s=1.5 if kind == "silent" else 20.0)
    frames = 0
    while (batch := camera.read()) is not None:
        frames += len(batch)
        if camera.report().counts.get("reconnects"):
            camera.stop()
    report = camera.report()
    assert report.counts["reconnects"] >= 1 and camera.state is State.STOPPED
    assert (frames > 0) == (kind == "stops")
    assert ("stalls" in report.counts) == (kind != "rubbish")
    assert (kind == "stops" or report.reason.startswith("reconnecting: ")) and "secret" not in report.reason + report.url


def test_an_mjpeg_camera_streams(watch, serve) -> None:  # type: ignore[no-untyped-def]
    def behave(caller: socket.socket) -> None:
        caller.recv(4096)
        caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n")
        try:
            while True:
                caller.sendall(JPEG_PART)
                time.sleep(0.05)
        except OSError:
            return

    camera = watch(serve(behave), connect_s=8.0)
    frames = [next_frame(camera) for _ in range(5)]
    assert frames[0].image.shape == (48, 64, 3) and camera.report().counts.get("reconnects", 0) == 0


def test_a_password_with_every_sign_arrives_as_it_is(watch, serve, clip: Path) -> None:  # type: ignore[no-untyped-def]
    got: list[bytes] = []

    def behave(caller: socket.socket) -> None:
        request = caller.recv(4096)
        if b"Authorization: Basic " not in request:
            caller.sendall(b'HTTP/1.0 401 No\r\nWWW-Authenticate: Basic realm="cam"\r\nContent-Length: 0\r\n\r\n')
            caller.close()
            return
        got.append(base64.b64decode(request.partition(b"Authorization: Basic ")[2].split()[0]))
        caller.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + clip.read_bytes() * 4)
        time.sleep(30)

    address = serve(behave).replace("joe:secret", "joe:a#b/c?d@e%f g")
    camera = watch(encode_credentials(address, "url"), connect_s=20.0)
    next_frame(camera)
    assert set(got) == {b"joe:a#b/c?d@e%f g"}


def test_an_hls_camera_streams(watch, clip: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "0.ts").write_bytes(clip.read_bytes())
    playlist = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\n0.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "live.m3u8").write_text(playlist)
    handler = functools.partial(QuietFiles, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    camera = watch(f"http://127.0.0.1:{server.server_port}/live.m3u8", connect_s=8.0)
    assert next_frame(camera).image.shape == (48, 64, 3)
    camera.close()
    server.shutdown()


class QuietFiles(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return


def test_a_killed_reader_is_replaced(watch, serve, clip: Path) -> None:  # type: ignore[no-untyped-def]
    def behave(caller: socket.socket) -> None:
        http(caller, clip.read_bytes() * 4)
        time.sleep(30)

    camera = watch(serve(behave), stall_s=5.0)
    before = next_frame(camera).pts_s
    os.kill(camera._reader._process.pid, signal.SIGKILL)
    while camera.report().counts.get("reconnects", 0) < 1:
        camera.read()
    assert next_frame(camera).pts_s > before


class PacedReader:
    """Has a frame each ``interval_s`` of a clock that only its waiting moves."""

    def __init__(self, now: list[float], interval_s: float) -> None:
        self._now, self._interval_s, self._due, self._frames = now, interval_s, now[0] + interval_s, 0

    def next_frame(self, timeout: float) -> dict[str, object] | None:
        self._now[0] += timeout
        if self._now[0] < self._due - 1e-6:
            return None
        self._due = self._now[0] + self._interval_s
        self._frames += 1
        return item(self._now[0], self._frames)

    def kill(self) -> None:
        return


def item(at: float, decoded: int) -> dict[str, object]:
    """What a reader answers."""
    image = np.zeros((4, 4, 3), np.uint8)
    return {"at": at, "decoded": decoded, "dropped": 0, "corrupt": 0, "too_large": 0, "damaged": False, "image": image}


def test_a_camera_is_not_declared_dead_after_back_pressure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked for a frame meanwhile: only the time since asking counts."""
    now = [1000.0]
    camera = Camera(stall_s=1.0)
    camera.start(SourceSpec("cam", "none.ts"), None)
    monkeypatch.setattr("stages.video.camera.time.monotonic", lambda: now[0])
    camera._reader = reader = PacedReader(now, 0.8)  # type: ignore[assignment]
    camera._stall_detector.begin()
    for _ in range(3):
        assert next_frame(camera)
        now[0] += 60.0  # the stages behind it are busy
    assert camera._reader is reader and "stalls" not in camera.report().counts


def test_a_clock_that_is_set_moves_no_cameras_pts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is replaced after NTP has set the clock by a year counts on as the others do."""
    clock = (boot_id(), time.monotonic() - 100.0)
    if not clock[0]:
        pytest.skip("no boot id here")
    found = []
    for step in (0.0, 3.15e7):
        with monkeypatch.context() as patch:
            patch.setattr("stages.video.camera.time.time", lambda step=step: 1.7e9 + step)
            camera = Camera(epoch=1.7e9 - 100.0, epoch_clock=clock)
            camera.start(SourceSpec("cam", "none.ts"), None)
            camera._stall_detector.begin()
            found.append(camera._frame(item(time.monotonic(), 1)))
    assert found[0].pts_s == pytest.approx(100.0, abs=5) and found[1].pts_s == pytest.approx(100.0, abs=5)
    assert found[1].captured - found[0].captured == pytest.approx(3.15e7, abs=5)  # the time of day is that of the clock


def test_a_camera_with_a_frame_each_ten_seconds_is_not_reconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its frames are further apart than the 8 seconds after which a silent camera is given up."""
    now = [time.monotonic()]
    camera = Camera(connect_s=15.0)
    camera.start(SourceSpec("cam", "none.ts"), None)
    monkeypatch.setattr("stages.video.camera.time.monotonic", lambda: now[0])
    camera._reader = reader = PacedReader(now, 10.0)  # type: ignore[assignment]
    camera._stall_detector.begin()
    times = [next_frame(camera).pts_s for _ in range(6)]
    assert np.diff(times) == pytest.approx([10.0] * 5, abs=0.3)
    assert camera._reader is reader and "reconnects" not in camera.report().counts
    assert stall_detector.MIN_STALL_S < camera._stall_detector.limit_s == pytest.approx(40.0, abs=1.0)


def test_waits_grow_and_a_steady_stream_shortens_them_again(  # type: ignore[no-untyped-def]
    watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.video.camera.BACKOFF_S", (0.1, 30.0))
    camera = watch(tmp_path / "none.ts")
    waits = []
    for times in range(1, 4):
        while camera.report().counts.get("reconnects", 0) < times:
            assert camera.read() is not None
        waits.append(camera._wait_s)
    assert waits == pytest.approx([0.2, 0.4, 0.8])
    monkeypatch.setattr("stages.video.camera.STABLE_S", 0.0)
    while camera.report().counts["reconnects"] < 4:
        assert camera.read() is not None
    assert camera._wait_s == pytest.approx(0.2)


def test_no_reader_outlives_its_camera(watch, serve) -> None:  # type: ignore[no-untyped-def]
    camera = watch(serve(lambda caller: time.sleep(30)))
    threading.Timer(0.7, camera.stop).start()
    started = time.monotonic()
    while camera.read() is not None:
        assert time.monotonic() - started < 3
    process = camera._reader._process
    camera.close()
    assert process.poll() is not None
    # One whose parent died without a word ends by itself, even while its camera is silent.
    import sys

    orphan = subprocess.Popen(
        [sys.executable, "-m", "stages.video.camera_reader"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    orphan.stdin.write(b'{"url": "/dev/null", "transport": "tcp", "detect_every": 1}\n')
    orphan.stdin.close()
    assert orphan.wait(timeout=10) == 0


@pytest.mark.parametrize(("keyword", "value"), [("detect_every", 0), ("transport", "smoke")])
def test_wrong_settings_are_named(keyword: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{keyword} = {value!r}: must be"):
        Camera(**{keyword: value})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Ten seconds each in H.264 and H.265, and one of another size."""
    folder = tmp_path_factory.mktemp("films")
    times = [k / 10 for k in range(100)]
    return {
        "h264": write_clip(folder / "h264.mp4", times),
        "h265": write_clip(folder / "h265.mp4", times, codec="libx265"),
        "large": write_clip(folder / "large.mp4", times, size=(128, 96)),
    }


@pytest.mark.live
@needs_rtsp
@pytest.mark.parametrize(("name", "transport"), [("h264", "tcp"), ("h264", "udp"), ("h265", "tcp")])
def test_rtsp_streams_at_its_own_pace(watch, films: dict[str, Path], name: str, transport: str) -> None:  # type: ignore[no-untyped-def]
    port = free_port()
    server = start_rtsp(port, **{name: films[name]})
    camera = watch(f"rtsp://127.0.0.1:{port}/{name}", connect_s=8.0, live_seconds=20.0, transport=transport)
    frames = [next_frame(camera) for _ in range(25)]
    stop(server)
    times = [f.pts_s for f in frames]
    assert times == sorted(set(times)) and 1.5 < times[-1] - times[0] < 4.0
    assert frames[0].image.shape == (48, 64, 3) and abs(frames[-1].captured - time.time()) < 5
    assert np.ptp([f.captured - f.pts_s for f in frames]) < 0.1  # two clocks, both of when it came


@pytest.mark.live
@needs_rtsp
def test_a_server_that_returns_is_not_kept_waiting_and_may_have_changed(
    watch: Callable[..., Camera], films: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.video.camera.BACKOFF_S", (600.0, 600.0))  # nobody would wait for that
    port = free_port()
    server = start_rtsp(port, cam=films["h264"])
    camera = watch(f"rtsp://127.0.0.1:{port}/cam", connect_s=20.0, live_seconds=60.0)
    before = next_frame(camera)
    stop(server)
    servers: list[subprocess.Popen[str]] = []
    threading.Timer(4.0, lambda: servers.append(start_rtsp(port, cam=films["large"]))).start()
    while (frame := next_frame(camera)).image.shape == before.image.shape:
        continue
    assert frame.image.shape == (96, 128, 3) and frame.pts_s > before.pts_s
    assert camera.report().counts["reconnects"] >= 1
    stop(servers[0])
