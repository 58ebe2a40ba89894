"""What an attacker tries: with no account, with a role that is too small, with an account for one camera, with odd input."""

from __future__ import annotations

import json
import sqlite3
import struct
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.formparsers import MultiPartParser
from starlette.requests import Request

from console.api.events import MAX_OF_ONE, _still_allowed
from console.auth.lockout import subjects
from console.auth.users import User
from console.camera_test import try_camera
from console.context import Console
from console.desk_photo import DeskPhoto
from console.jobs import LOG_TAIL, Run, Runs
from console.photo_desk import MAX_OF_ONE as MAX_OF_ONE_DESK
from console.photo_desk import PhotoDesk, _Upload
from tests.console.conftest import PASSWORD, Clients
from watchlist.audit_chain import login_name
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store

HUGE = ("9" * 5000, str(2**64), "٣", "-1", "nan")


def audited(out: Path) -> list[str]:
    return [row["what"] for row in Store(out / "farsight.db").audit_rows()]


@pytest.mark.parametrize("path", ["/runs", "/people/import", "/api/v1/recordings", "/api/v1/people", "/api/v1/search/photo"])
@pytest.mark.parametrize("role", ["", "viewer"])
def test_a_form_of_somebody_who_may_not_send_it_is_not_read(
    console_app: FastAPI, signed_in: Clients, path: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = signed_in(role) if role else TestClient(console_app, "http://localhost")
    read: list[object] = []

    async def parse(self: MultiPartParser) -> None:
        read.append(self)

    monkeypatch.setattr(MultiPartParser, "parse", parse)
    answer = client.post(path, files={"upload": ("a.mp4", b"x" * 2_000_000)})
    assert answer.status_code == (403 if role else 401) and not read


def test_who_listens_sees_other_cameras_once_they_are_changed(
    console_app: FastAPI, console_out: Path, signed_in: Clients
) -> None:
    cookie = signed_in("viewer").cookies["farsight_session"]
    headers = [(b"cookie", f"farsight_session={cookie}".encode())]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": headers, "app": console_app}
    before = User(1, "viewer", "viewer")
    Store(console_out / "farsight.db").change_account(1, cameras=["yard"])
    now = _still_allowed(Request(scope), before)
    assert now is not None and now.cameras == ("yard",)
    Store(console_out / "farsight.db").set_password(1, "x")
    assert _still_allowed(Request(scope), before) is None


def test_who_has_a_session_cannot_guess_its_password(signed_in: Clients, console_out: Path) -> None:
    client = signed_in("viewer")
    for _ in range(5):
        assert client.post("/account", data={"old": "wrong", "password": "another long one"}).status_code == 422
    answer = client.post("/account", data={"old": PASSWORD, "password": "another long one"})
    assert answer.status_code == 429 and "retry-after" in answer.headers
    assert audited(console_out).count("sign in failed") == 5


def test_the_addresses_of_one_ipv6_network_are_locked_together() -> None:
    assert subjects("a", "2001:db8::1")[1] == subjects("b", "2001:db8::ffff:2")[1] != subjects("a", "2001:db8:0:1::1")[1]
    assert subjects("a", "::1")[1] == "address:::/64" and subjects("a", "::ffff:192.0.2.1")[1] == "address:192.0.2.1"


@pytest.mark.parametrize("value", HUGE)
def test_odd_numbers_are_refused_and_no_fault_of_the_server(signed_in: Clients, value: str) -> None:
    client = signed_in("admin")
    for path in ("/audit?before=", "/cases?before=", "/people?after=", "/sightings?after=1,", "/search?identity="):
        assert client.get(path + value).status_code in (200, 404, 422), path
    track = "cam/x-0007"
    for path, form in (
        ("/cases/add", {"case": value, "track": track}),
        ("/people", {"identity": value, "track": track}),
        ("/users/1", {"action": "remove-token", "token": value}),
        (f"/users/{value[:30]}", {"action": "remove"}),
    ):
        assert client.post(path, data=form).status_code == 422, path


def test_half_a_character_and_paths_that_cannot_be_are_refused(signed_in: Clients) -> None:
    client = signed_in("admin")
    json_text = {"content-type": "application/json"}
    for method, path, body in (
        ("PATCH", "/api/v1/users/1", '{"cameras": ["\\ud800"]}'),
        ("POST", "/api/v1/unknowns/ignore", '{"tracks": [["\\ud800", "x"]]}'),
        ("POST", "/api/v1/runs", json.dumps({"source": "a" * 3000})),
        ("POST", "/api/v1/runs", json.dumps({"source": "~nobody-of-this-name/a.mp4"})),
        ("POST", "/api/v1/runs", json.dumps({"source": "a\0b"})),
    ):
        assert client.request(method, path, content=body, headers=json_text).status_code == 422, (path, body[:40])
    assert client.get("/api/v1/users").status_code == 200


def test_a_person_renamed_on_their_page_is_renamed_in_all_files_and_in_the_audit_log(
    signed_in: Clients, console_out: Path
) -> None:
    (console_out / "sightings.jsonl").write_text('{"track": "x-0007", "source": "cam", "identity": 1, "name": "Ada"}\n')
    form = {"action": "save", "name": "Ada Byron", "version": "0"}
    client = signed_in("operator")
    form["version"] = str(client.get("/api/v1/people/1").json()["version"])
    assert client.post("/people/1", data=form, follow_redirects=False).status_code == 303
    assert "update" in audited(console_out)
    assert '"Ada Byron"' in (console_out / "sightings.jsonl").read_text()


def test_uploads_stops_notes_and_calls_to_cameras_are_in_the_audit_log(
    signed_in: Clients, console_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (console_out / "live.yaml").write_text("cameras:\n  - {name: gate, url: 'rtsp://192.0.2.1/s'}\n")
    Store(console_out / "farsight.db").set_preferences({"live_config": str(console_out / "live.yaml")})
    monkeypatch.setattr("console.pages.cameras.try_camera", lambda *given: {"ok": False, "why": "x"})
    admin = signed_in("admin")
    assert admin.post("/cameras/test", data={"url": "http://user:secret@192.0.2.7/"}).status_code == 200
    assert admin.post("/api/v1/recordings", files={"file": ("a.mp4", b"x")}).status_code == 201
    admin.post("/cases", data={"name": "One"})
    admin.post("/cases/add", data={"case": "1", "track": "cam/x-0007"})
    admin.post("/cases/1", data={"action": "track-note", "track": "cam/x-0007", "note": "n"})
    rows = Store(console_out / "farsight.db").audit_rows()
    assert {"camera tested", "recording uploaded", "case note changed"} <= {row["what"] for row in rows}
    assert "secret" not in json.dumps(rows) and "192.0.2.7" in json.dumps(rows)


def test_the_settings_of_cameras_stay_as_they_were_where_the_audit_log_cannot_be_written(
    signed_in: Clients, console_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (console_out / "live.yaml").write_text(before := "cameras:\n  - {name: gate, url: 'rtsp://192.0.2.1/s'}\n")
    Store(console_out / "farsight.db").set_preferences({"live_config": str(console_out / "live.yaml")})
    monkeypatch.setattr("console.context.WRITE_WAIT_S", 0.05)
    admin = signed_in("admin")
    other = sqlite3.connect(console_out / "farsight.db")
    other.execute("BEGIN IMMEDIATE")
    assert admin.post("/cameras", data={"name": "yard", "url": "rtsp://192.0.2.2/s"}).status_code == 503
    assert (console_out / "live.yaml").read_text() == before
    other.rollback()


def test_only_addresses_of_cameras_are_called() -> None:
    for address in (
        "file:///etc/passwd",
        "/dev/video0/../../etc/passwd",
        "/dev/video",
        "concat:/etc/passwd",
        "ftp://x/y",
        "rtsp://",
    ):
        assert "begins with" in try_camera(address, limit_s=0.0)["why"], address


def test_a_damaged_database_is_told_without_where_it_lies(
    console_app: FastAPI, console_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Store) -> bool:
        raise StoreError(f"{self.path}: damaged")

    monkeypatch.setattr(Store, "has_accounts", broken)
    answer = TestClient(console_app, "http://localhost").get("/api/v1/tracks")
    assert answer.status_code == 500 and answer.json()["detail"] == "farsight.db: damaged"


def test_the_description_of_the_api_is_for_those_who_are_signed_in(console_app: FastAPI) -> None:
    assert TestClient(console_app, "http://localhost").get("/openapi.json").status_code == 404


def test_a_log_that_is_cut_through_an_address_shows_no_password(console_out: Path) -> None:
    runs = Runs(Console(console_out / "farsight.db"))
    runs.folder.mkdir()
    text = "rtsp://user:" + "secret" * 10 + "@192.0.2.1/s\n" + "x" * (LOG_TAIL - 41) + "\n"
    (runs.folder / "a.log").write_text(text)
    assert "secret" not in runs.log(Run("a", "ann", [], 0.0))


def test_a_token_made_on_the_page_can_be_found_by_secret_scanners(signed_in: Clients) -> None:
    assert "farsight_" in signed_in("admin").post("/users/1", data={"action": "token", "label": "x"}).text


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET what = x'00' WHERE id = 2",
        "UPDATE audit SET detail = '{}' WHERE id = 2",
        "DELETE FROM audit WHERE id = 2",
        "DELETE FROM audit WHERE id > 2; DELETE FROM sqlite_sequence WHERE name = 'audit'",
        "DELETE FROM audit WHERE id > 2",
        "UPDATE audit SET id = -1 WHERE id = 2; UPDATE audit SET id = 2 WHERE id = 3; UPDATE audit SET id = 3 WHERE id = -1",
    ],
)
def test_whatever_is_done_to_the_audit_log_is_found(console_out: Path, tampering: str) -> None:
    store = Store(console_out / "farsight.db")
    assert not store.verify_audit().fault
    store.close()
    outside = sqlite3.connect(console_out / "farsight.db")
    outside.executescript(tampering)
    outside.close()
    assert Store(console_out / "farsight.db").verify_audit().fault


def test_the_audit_log_of_the_command_line_names_the_real_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(variable, "somebody else")
    assert "somebody else" not in login_name()


def test_a_zip_that_lists_millions_of_files_is_refused_before_its_list_is_read(
    signed_in: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = b"PK\x01\x02" + bytes(24) + b"\x01\x00" + bytes(16) + b"a"
    content = entry * 300_000
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(content), 0, 0)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    answer = signed_in("operator").post("/api/v1/people/import", files={"files": ("a.zip", content + end)})
    assert answer.status_code == 413 and "20000 files" in answer.json()["detail"]


def test_one_user_with_many_pages_leaves_room_for_others_who_listen(console_app: FastAPI, signed_in: Clients) -> None:
    console_app.state.watcher.listeners["viewer"] = MAX_OF_ONE
    console_app.state.closing = True  # a stream ends at once
    assert signed_in("viewer").get("/api/v1/events").status_code == 503
    assert signed_in("reviewer").get("/api/v1/events").status_code == 200


def test_a_name_with_accents_signs_in_and_is_locked_however_it_was_typed(
    console_app: FastAPI, console_out: Path, password_hash: str
) -> None:
    store = Store(console_out / "farsight.db")
    store.add_account("Zo\u00eb", "viewer", password_hash)
    store.close()
    client = TestClient(console_app, "http://localhost")
    apart = "Zoe\u0308"
    assert client.post("/api/v1/session", json={"name": apart, "password": PASSWORD}).status_code == 200
    for name in ("Zo\u00eb", apart, "Zo\u00eb", apart, "Zo\u00eb"):
        assert client.post("/api/v1/session", json={"name": name, "password": "wrong password"}).status_code == 401
    assert client.post("/api/v1/session", json={"name": apart, "password": PASSWORD}).status_code == 429


def test_a_page_that_only_listens_keeps_no_session_open(console_app: FastAPI, console_out: Path, signed_in: Clients) -> None:
    cookie = signed_in("viewer").cookies["farsight_session"]
    store = Store(console_out / "farsight.db")
    store._db.execute("UPDATE sessions SET seen = seen - 3600")
    headers = [(b"cookie", f"farsight_session={cookie}".encode())]
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": headers, "app": console_app}
    before = store._db.execute("SELECT seen FROM sessions").fetchone()[0]
    assert _still_allowed(Request(scope), User(1, "viewer", "viewer")) is not None
    assert store._db.execute("SELECT seen FROM sessions").fetchone()[0] == before


def test_one_user_with_many_photos_pushes_out_no_photo_of_another(console_out: Path) -> None:
    desk = PhotoDesk(Console(console_out / "farsight.db"))

    def kept(owner: str) -> list[str]:
        return [token for token, one in desk._uploads.items() if one.owner == owner]

    for owner, count in (("ann", 3), ("eve", 150)):
        for number in range(count):
            with desk._desk:
                desk._forget()
                desk._forget_oldest_of(owner)
                desk._uploads[f"{owner}{number}"] = _Upload(DeskPhoto(f"{owner}{number}", "p"), owner, time.monotonic())
    assert len(kept("ann")) == 3 and len(kept("eve")) == MAX_OF_ONE_DESK and kept("eve")[-1] == "eve149"
