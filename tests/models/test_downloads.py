"""Weights that are downloaded by name, from a server on this machine."""

import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from cli.common import CONFIGS, context_of
from cli.settings import load_settings
from models import load_detector, weights_path
from models.downloads import DOWNLOADS, Download, DownloadError, fetch, find_downloaded, user_folder
from tests.servers import free_port

CONTENT = bytes(range(256)) * 40
GOOD = "/good.onnx"


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved.onnx":
            self.send_response(302)
            self.send_header("Location", GOOD)
            self.end_headers()
            return
        content = {GOOD: CONTENT, "/other.onnx": b"version https://git-lfs.github.com", "/long.onnx": CONTENT * 3}.get(self.path)
        cut = self.path == "/cut.onnx"
        self.send_response(200 if content or cut else 404)
        self.send_header("Content-Length", str(len(CONTENT if cut else content or b"")))
        self.end_headers()
        self.wfile.write(CONTENT[:100] if cut else content or b"")

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server that has the file; "yunet" is its content, and the user's folder is empty."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{http.server_port}"
    offer(monkeypatch, address + GOOD)
    monkeypatch.setenv("FARSIGHT_MODELS", str(tmp_path / "models"))
    yield address
    http.shutdown()
    http.server_close()


def offer(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    digest = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setitem(DOWNLOADS, "yunet", Download("yunet.onnx", digest, len(CONTENT), "MIT", "a file", addresses))


def test_a_download_is_checked_and_found_by_its_name_from_then_on(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_downloaded("yunet.onnx") is None
    done = CliRunner().invoke(app, ["models", "fetch", "yunet"])
    path = user_folder() / "yunet.onnx"
    assert done.exit_code == 0 and len(done.output.splitlines()) == 1 and "downloaded" in done.output and str(path) in done.output
    assert path.read_bytes() == CONTENT and [file.name for file in path.parent.iterdir()] == ["yunet.onnx"]
    assert weights_path("yunet.onnx", "detector") == path
    settings = load_settings(CONFIGS / "recording.yaml", shared={"detector": "yunet.onnx"})
    assert context_of(settings, Path("out"))["detector"] == str(path)  # workers run in another folder
    offer(monkeypatch, f"{server}/gone.onnx")
    assert "was there already" in CliRunner().invoke(app, ["models", "fetch", "yunet"]).output  # asks nobody


def test_a_file_of_that_name_in_the_working_folder_comes_first(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("yunet")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yunet.onnx").write_bytes(b"mine")
    assert weights_path("yunet.onnx", "detector") == Path("yunet.onnx")
    assert weights_path(tmp_path / "gone" / "yunet.onnx", "detector") == tmp_path / "gone" / "yunet.onnx"  # a path stays a path


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other", "another content (34 of 10240 bytes"),
        ("long", "more than the file's 10240 bytes"),
        ("cut", "without sending complete message body"),
        ("gone", "status 404"),
    ],
)
def test_a_wrong_file_is_refused_and_nothing_is_left_behind(server: str, name: str, why: str) -> None:
    with pytest.raises(DownloadError, match=re.escape(why)):
        fetch("yunet", addresses=[f"{server}/{name}.onnx"])
    assert list(user_folder().iterdir()) == []


def test_a_file_that_was_damaged_is_replaced(server: str) -> None:
    path = fetch("yunet")
    path.write_bytes(CONTENT[:-1] + b"!")
    assert fetch("yunet").read_bytes() == CONTENT


def test_the_next_address_is_tried_and_a_redirect_followed(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, f"{server}/gone.onnx", f"http://127.0.0.1:{free_port()}/x", f"{server}/moved.onnx")
    assert fetch("yunet").read_bytes() == CONTENT


def test_without_a_network_one_line_says_where_to_put_the_file(server: str, tmp_path: Path) -> None:
    closed = f"http://127.0.0.1:{free_port()}/yunet.onnx"
    done = CliRunner().invoke(app, ["models", "fetch", "yunet", "--from", closed])
    text = str(done.exception)
    assert getattr(done.exception, "exit_code", None) == 3 and "\n" not in text
    assert text.startswith("yunet could not be downloaded (127.0.0.1: ") and "Traceback" not in done.output
    assert text.endswith(f"get {closed} on another machine and save it as {tmp_path / 'models' / 'yunet.onnx'}")


def test_a_name_that_is_not_offered_is_refused(server: str) -> None:
    done = CliRunner().invoke(app, ["models", "fetch", "retinaface"])
    assert getattr(done.exception, "exit_code", None) == 2 and "allowed: yunet" in str(done.exception)


def test_a_detector_that_was_not_downloaded_yet_is_named_with_the_command(server: str) -> None:
    pytest.importorskip("onnxruntime")
    with pytest.raises(ValueError, match=r"yunet\.onnx: no such file; download it with: farsight models fetch yunet$"):
        load_detector("yunet.onnx")
    with pytest.raises(ValueError, match=r"other\.onnx: no such file; check the path$"):
        load_detector("other.onnx")


def test_the_user_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FARSIGHT_MODELS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert user_folder() == tmp_path / "farsight" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert user_folder() == Path.home() / ".local" / "share" / "farsight" / "models"


def test_every_offered_file_has_a_digest_a_licence_and_https_addresses() -> None:
    for name, download in DOWNLOADS.items():
        assert re.fullmatch("[0-9a-f]{64}", download.sha256) and download.size > 100_000, name
        assert download.licence in ("MIT", "Apache-2.0") and download.file == f"{name}.onnx"
        assert download.addresses and all(address.startswith("https://") for address in download.addresses)
