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


@pytest.fixture
def with_account(out: Path) -> Path:
    Store(out / "farsight.db").add_account("admin", "admin", "a hash")
    return out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0: passwords need TLS: give --cert and --key, or --behind-proxy"),
        (["--behind-proxy"], "give the proxy's host name with --name"),
        (["--cert", "x.pem"], "--cert and --key: both are needed"),
        (["--cert", "gone.pem", "--key", "gone.pem"], "--cert gone.pem: no such file"),
    ],
)
def test_passwords_do_not_cross_a_network_unprotected(with_account: Path, options: list[str], said: str) -> None:
    done = CliRunner().invoke(app, ["serve", "--db", str(with_account), *options])
    assert isinstance(done.exception, SettingsError) and said in str(done.exception)


def test_a_certificate_that_is_none_is_told_at_start(with_account: Path) -> None:
    (with_account / "cert.pem").write_text("nothing")
    given = ["--cert", str(with_account / "cert.pem"), "--key", str(with_account / "cert.pem")]
    done = CliRunner().invoke(app, ["serve", "--db", str(with_account), *given])
    assert isinstance(done.exception, SettingsError) and "not usable" in str(done.exception)


def test_a_proxy_without_an_account_is_refused(out: Path) -> None:
    done = CliRunner().invoke(app, ["serve", "--db", str(out), "--behind-proxy", "--name", "console.example.org"])
    assert isinstance(done.exception, SettingsError) and "is for consoles with accounts" in str(done.exception)


def test_behind_a_proxy_its_name_is_known_and_nobody_is_anonymous(with_account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import uvicorn
    from fastapi.testclient import TestClient

    apps = []
    monkeypatch.setattr(uvicorn, "run", lambda app, **more: apps.append(app))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = ["--behind-proxy", "--name", "console.example.org", "--port", port]
    assert CliRunner().invoke(app, ["serve", "--db", str(with_account), *options]).exception is None
    client = TestClient(apps[0], "https://console.example.org")
    answer = client.get("/api/v1/session")
    assert answer.status_code == 401 and "max-age" in answer.headers["strict-transport-security"]
    assert TestClient(apps[0], "https://evil.example").get("/api/v1/session").status_code == 400
    Store(with_account / "farsight.db").remove_account(1)  # the last account goes while it runs
    assert client.get("/api/v1/session").status_code == 401
