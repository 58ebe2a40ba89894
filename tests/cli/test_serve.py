"""Who can reach the page: this machine alone."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from pipeline.errors import SettingsError
from watchlist.store import Store


@pytest.fixture
def out(tmp_path: Path) -> Path:
    Store(tmp_path / "farsight.db").close()
    return tmp_path


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_an_address_that_others_reach_is_refused_in_one_line(out: Path, host: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--db", str(out), "--host", host])
    assert isinstance(done.exception, SettingsError) and done.exception.exit_code == 2
    text = str(done.exception)
    assert f"--host {host}: must be 127.0.0.1, ::1 or localhost" in text and "ssh -L" in text and "\n" not in text


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.0.0.2"])
def test_loopback_is_served(out: Path, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn

    asked: list[dict] = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **more: asked.append(more))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = CliRunner().invoke(app, ["serve", "--db", str(out), "--host", host, "--port", str(port)])
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    assert done.exception is None and asked[0]["host"] == host
    assert f"http://{'[::1]' if host == '::1' else host}:{port}/" in done.output


def test_a_taken_port_is_named(out: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "--db", str(out), "--port", str(port)])
    assert f"--port {port}: Address already in use on 127.0.0.1" in str(done.exception)
