"""Who may do what in the console: accounts, sessions, roles, tokens, lock-out, and what attackers try."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cli import app as command_line
from console.app import make_app
from console.auth.sessions import IDLE_S
from tests.console.conftest import PASSWORD, Clients
from watchlist.store import Store

OPEN = {"/login", "/healthz", "/api/v1/session"}


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path, with the parameters filled in, of every route."""
    found, todo = [], list(app.routes)
    while todo:
        route = todo.pop()
        todo += list(getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", []))
        if isinstance(route, APIRoute):
            found += [(method, route.path.replace("{", "").replace("}", "")) for method in route.methods]
    return sorted(set(found))


def test_without_signing_in_no_route_gives_anything(console_app: FastAPI) -> None:
    client = TestClient(console_app, "http://localhost", follow_redirects=False)
    asked = [(method, path) for method, path in routes(console_app) if path not in OPEN]
    assert len(asked) > 5
    for method, path in asked:
        answer = client.request(method, path)
        assert answer.status_code in (401, 303), (method, path, answer.status_code)
        assert "Ada" not in answer.text


def test_without_an_account_the_console_can_be_read_and_not_written(tmp_path: Path) -> None:
    Store(tmp_path / "farsight.db").close()
    app = make_app(tmp_path / "farsight.db")
    client = TestClient(app, "http://localhost")
    assert client.get("/").status_code == 200 and client.get("/api/v1/session").json()["anonymous"] is True
    for method, path in routes(app):
        if method not in ("GET", "HEAD") and path not in OPEN:
            assert client.request(method, path).status_code == 403, (method, path)


ALLOWED_TO_A_VIEWER = {"/api/v1/session", "/login", "/logout", "/account", "/search"}
OWN = "/api/v1/users/identity/tokens"  # of oneself; of others it is refused by the account


def test_a_viewer_who_calls_what_others_may_do_is_refused(console_app: FastAPI, signed_in: Clients) -> None:
    client = signed_in("viewer")
    asked = [(m, p) for m, p in routes(console_app) if m not in ("GET", "HEAD") and p not in ALLOWED_TO_A_VIEWER]
    asked = [(method, path) for method, path in asked if not path.startswith(OWN)]
    assert len(asked) > 40
    for method, path in asked:
        answer = client.request(method, path)
        assert answer.status_code == 403 and "yours is viewer" in answer.text, (method, path, answer.status_code)


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_cannot_use(console_app: FastAPI) -> None:
    client = TestClient(console_app, "http://localhost", follow_redirects=False)
    answer = client.post("/login", data={"name": "admin", "password": PASSWORD, "next": "/api"})
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303 and answer.headers["location"] == "/api"
    assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
    assert client.get("/api/v1/session").json()["role"] == "admin"
    left = client.post("/logout", data={"csrf_token": client.get("/api/v1/session").json()["csrf_token"]})
    assert left.status_code == 303 and client.get("/api/v1/session").status_code == 401


@pytest.mark.parametrize("address", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb"])
def test_signing_in_leads_to_no_other_site(console_app: FastAPI, address: str) -> None:
    client = TestClient(console_app, "http://localhost", follow_redirects=False)
    answer = client.post("/login", data={"name": "admin", "password": PASSWORD, "next": address})
    assert answer.headers["location"] == "/"


def test_an_expired_session_leads_to_the_sign_in_page(console_out: Path, signed_in: Clients) -> None:
    client = signed_in("admin")
    store = Store(console_out / "farsight.db")
    store._db.execute("UPDATE sessions SET seen = ?", (time.time() - IDLE_S - 1,))
    assert client.get("/api/v1/session").status_code == 401
    page = client.get("/tracks?outcome=match", headers={"accept": "text/html"}, follow_redirects=False)
    assert page.status_code == 303 and page.headers["location"] == "/login?next=%2Ftracks%3Foutcome%3Dmatch"
    part = client.get("/tracks?outcome=match", headers={"hx-request": "true"}, follow_redirects=False)
    assert part.status_code == 401 and part.headers["hx-redirect"].startswith("/login")


@pytest.mark.parametrize(
    "headers",
    [{"x-csrf-token": "wrong"}, {"x-csrf-token": ""}, {"sec-fetch-site": "cross-site"}, {"origin": "http://evil.example"}],
)
def test_another_site_cannot_write_with_the_browser_of_somebody_signed_in(signed_in: Clients, headers: dict[str, str]) -> None:
    client = signed_in("admin")
    refused = client.request("DELETE", "/api/v1/session", headers=headers)
    assert refused.status_code == 403 and refused.json()["title"] == "Not from this page"
    assert client.get("/api/v1/session").status_code == 200


def test_another_site_cannot_sign_somebody_in(console_app: FastAPI) -> None:
    client = TestClient(console_app, "http://localhost")
    given = {"name": "admin", "password": PASSWORD}
    assert client.post("/login", data=given, headers={"origin": "http://evil.example"}).status_code == 403


def test_after_five_wrong_passwords_the_right_one_has_to_wait(console_app: FastAPI, console_out: Path) -> None:
    client = TestClient(console_app, "http://localhost")
    wrong = [client.post("/api/v1/session", json={"name": "admin", "password": f"wrong {n}"}).status_code for n in range(6)]
    assert wrong == [401] * 5 + [429]
    locked = client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD})
    assert locked.status_code == 429 and 0 < int(locked.headers["retry-after"]) <= 30
    assert client.post("/api/v1/session", json={"name": "viewer", "password": PASSWORD}).status_code == 200
    store = Store(console_out / "farsight.db")
    store._db.execute("UPDATE login_failures SET last = last - 60")
    assert client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD}).status_code == 200
    whats = [found["what"] for found in store.audit_rows()]
    assert whats.count("sign in failed") == 5 and whats[0] == "sign in"


def test_an_address_that_guesses_many_names_is_locked_too(console_app: FastAPI) -> None:
    client = TestClient(console_app, "http://localhost")
    for n in range(20):
        assert client.post("/api/v1/session", json={"name": f"guess {n}", "password": "x"}).status_code == 401
    assert client.post("/api/v1/session", json={"name": "admin", "password": PASSWORD}).status_code == 429


def test_unknown_names_are_answered_like_wrong_passwords(console_app: FastAPI) -> None:
    client = TestClient(console_app, "http://localhost")
    texts: dict[str, str] = {}
    times: dict[str, float] = {}
    for _ in range(4):  # the quickest of each counts: a busy machine makes one take longer
        for name in ("admin", "nobody here"):
            began = time.perf_counter()
            texts[name] = client.post("/api/v1/session", json={"name": name, "password": "wrong"}).text
            times[name] = min(times.get(name, 1e9), time.perf_counter() - began)
    assert len(set(texts.values())) == 1 and min(times.values()) > 0.3 * max(times.values())


def test_an_api_token_signs_in_until_it_is_removed(console_app: FastAPI, console_out: Path) -> None:
    run = CliRunner()
    made = run.invoke(command_line, ["user", "token", "operator", "--label", "script", "--db", str(console_out)])
    secret = made.output.strip()
    client = TestClient(console_app, "http://localhost", headers={"authorization": f"Bearer {secret}"})
    assert client.get("/api/v1/session").json() == {
        "name": "operator", "role": "operator", "anonymous": False, "cameras": None, "csrf_token": None
    }  # fmt: skip
    assert secret.encode() not in (console_out / "farsight.db").read_bytes()
    assert run.invoke(command_line, ["user", "token", "operator", "--remove", "1", "--db", str(console_out)]).exit_code == 0
    assert client.get("/api/v1/session").status_code == 401


def test_who_sees_one_camera_sees_no_other(console_out: Path, signed_in: Clients) -> None:
    store = Store(console_out / "farsight.db")
    store.change_account(1, cameras=["yard"])
    client = signed_in("viewer")
    assert {found["source"] for found in client.get("/api/sightings").json()} == {"yard"}
    assert client.get("/api/sightings?source=cam").status_code == 422
    assert client.get("/picture?source=cam&track=x-0007").status_code == 404 and client.get("/report").status_code == 403
    assert client.get("/annotated/cam.mp4").status_code == 404


def test_accounts_are_made_changed_and_removed_on_the_command_line(tmp_path: Path) -> None:
    Store(tmp_path / "farsight.db").close()
    db, run = ["--db", str(tmp_path)], CliRunner()
    assert run.invoke(command_line, ["user", "add", "Zoë", "--role", "admin", *db], input="short\n").exception is not None
    assert run.invoke(command_line, ["user", "add", "Zoë", "--role", "king", *db], input=PASSWORD).exception is not None
    assert run.invoke(command_line, ["user", "add", "Zoë", "--role", "admin", *db], input=f"{PASSWORD}\n").exit_code == 0
    again = run.invoke(command_line, ["user", "add", "Zoë", "--role", "admin", *db], input=PASSWORD)
    assert "there is one of this name already" in str(again.exception)
    assert run.invoke(command_line, ["user", "change", "Zoë", "--role", "viewer", *db]).exception is not None  # the last admin
    assert run.invoke(command_line, ["user", "password", "Zoë", *db], input="another long one\n").exit_code == 0
    assert "admin" in run.invoke(command_line, ["user", "list", *db]).output
    client = TestClient(make_app(tmp_path / "farsight.db"), "http://localhost")
    assert client.post("/api/v1/session", json={"name": "Zoë", "password": "another long one"}).status_code == 200
    assert run.invoke(command_line, ["user", "remove", "Zoë", *db]).exit_code == 0
    assert client.get("/api/v1/session").json()["anonymous"] is True  # there is no account any more


def test_a_body_that_is_too_large_is_refused_before_it_is_read(signed_in: Clients) -> None:
    client = signed_in("admin")
    told = client.post("/api/v1/session", content=b"x" * 1_100_000)

    def endless() -> object:
        for _ in range(200):
            yield b"x" * 10_000

    streamed = client.post("/api/v1/session", content=endless(), headers={"content-type": "application/json"})
    assert told.status_code == streamed.status_code == 413 and "at most 1 MB" in told.json()["detail"]
