"""Runs, cases, settings, users, cameras and unknown people through the API, and the client."""

from __future__ import annotations

import io
import json
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from console import openapi
from console.app import make_app
from console.client import ConsoleClient, ConsoleError
from models import recognizer_card
from pipeline.engine import Status
from pipeline.monitoring.status_file import StatusFile
from pipeline.protocol import SourceReport
from tests.console.conftest import PASSWORD, Clients
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store

PROGRAM = "import sys, time; print(sys.argv[1:], flush=True); time.sleep(0 if 'quick.mp4' in str(sys.argv) else 60)"


@pytest.fixture
def runner(console_out: Path) -> TestClient:
    """A client of an operator, whose runs are a program that only sleeps."""
    for name in ("quick.mp4", "long.mp4"):
        (console_out / name).write_bytes(b"x")
    app = make_app(console_out / "farsight.db", command=(sys.executable, "-c", PROGRAM))
    client = TestClient(app, "http://localhost")
    given = {"name": "operator", "password": PASSWORD}
    client.headers["x-csrf-token"] = client.post("/api/v1/session", json=given).json()["csrf_token"]
    return client


def ended(client: TestClient, token: str) -> dict:
    for _ in range(400):
        found = client.get(f"/api/v1/runs/{token}").json()
        if found["ended"] is not None:
            return dict(found)
        time.sleep(0.05)
    raise AssertionError("it still runs")


def test_a_run_is_started_looked_at_stopped_and_resumed(runner: TestClient, console_out: Path) -> None:
    source = str(console_out / "quick.mp4")
    made = runner.post("/api/v1/runs", json={"source": source, "fpir": 0.001, "video": False})
    assert made.status_code == 201, made.text
    done = ended(runner, made.json()["token"])
    assert done["state"] == "finished" and done["user"] == "operator" and done["source"] == source
    assert all(word in done["log"] for word in (f"--source={source}", "--no-video", "--resume", "--fpir=0.001"))
    long = runner.post("/api/v1/runs", json={"source": str(console_out / "long.mp4")}).json()
    assert runner.post(f"/api/v1/runs/{long['token']}/stop").json()["state"] == "stopped"
    assert ended(runner, long["token"])["state"] == "stopped"
    again = runner.post(f"/api/v1/runs/{done['token']}/resume").json()
    assert again["resumes"] == done["token"] and ended(runner, again["token"])["state"] == "finished"
    assert len(runner.get("/api/v1/runs").json()) == 3


@pytest.mark.parametrize("source", ["/nowhere", "--config=/etc/passwd", "\0", ""])
def test_a_run_of_what_is_no_recording_is_refused(runner: TestClient, source: str) -> None:
    assert runner.post("/api/v1/runs", json={"source": source}).status_code == 422
    assert runner.get("/api/v1/runs/..%2F..%2Fetc").status_code == 404


def test_a_recording_is_uploaded_under_a_name_that_leads_nowhere(runner: TestClient, console_out: Path) -> None:
    made = runner.post("/api/v1/recordings", files={"file": ("../../quick.mp4", b"video")})
    assert made.status_code == 201 and made.json()["source"] == str(console_out / "uploads" / "quick.mp4")
    assert (console_out / "uploads" / "quick.mp4").read_bytes() == b"video"
    for name in ("evil.sh", ".hidden.mp4", "x"):
        assert runner.post("/api/v1/recordings", files={"file": (name, b"x")}).status_code == 422, name


def test_a_case_holds_tracks_with_notes_and_is_exported(signed_in: Clients, console_out: Path) -> None:
    client = signed_in("operator")
    case = client.post("/api/v1/cases", json={"name": "Theft <b>", "note": "at the gate"}).json()
    at = f"/api/v1/cases/{case['id']}"
    for track in ("cam/x-0007", "yard/z-0001"):
        assert client.put(f"{at}/tracks/{track}", json={"note": "look <i>here"}).status_code == 200
    assert [item["sighting"]["track"] for item in client.get(at).json()["items"]] == ["x-0007", "z-0001"]
    client.post("/api/v1/tracks/cam/x-0007/review", json={"verdict": "confirmed", "note": "sure"})
    with zipfile.ZipFile(io.BytesIO(client.get(f"{at}/export").content)) as archive:
        told = json.loads(archive.read("case.json"))
    assert told["case"]["name"] == "Theft <b>" and len(told["tracks"]) == 2
    assert told["case"]["notes"]["cam/x-0007"] == "look <i>here"
    assert [track["reviews"][0]["user"] for track in told["tracks"] if track["reviews"]] == ["operator"]
    assert client.delete(f"{at}/tracks/cam/x-0007").status_code == 204 and client.get(at).json()["tracks"] == 1
    assert client.patch(at, json={"closed": True}).json()["closed"]
    assert client.put(f"{at}/tracks/cam/x-0007", json={}).status_code == 422
    Store(console_out / "farsight.db").delete_tracks([("yard", "z-0001")])
    assert client.get(at).json()["items"] == [] and client.get("/api/v1/cases/99").status_code == 404


def test_settings_tell_what_they_mean(signed_in: Clients, console_out: Path) -> None:
    admin, now = signed_in("admin"), time.time()
    assert admin.patch("/api/v1/settings", json={"review_persons": 2, "time_zone": "Europe/Berlin"}).json()["review_persons"] == 2
    assert admin.patch("/api/v1/settings", json={"time_zone": "../../etc/passwd"}).status_code == 422
    assert signed_in("operator").patch("/api/v1/settings", json={"review_persons": 1}).status_code == 403
    store = Store(console_out / "farsight.db")
    store.put_tracks(
        [
            row(PATH, "no_match") | {"track": f"n-{n:04d}", "started_at": now - 3600 * n, "ended_at": now - 3600 * n + 5}
            for n in range(48)
        ]
    )
    found = admin.get("/api/v1/settings/rate?fpir=0.01").json()
    assert found["tracks_a_day"] == pytest.approx(24.5, abs=0.6) and found["false_alarms_a_day"] == pytest.approx(
        0.245, abs=0.006
    )


def test_an_admin_manages_users_and_reads_the_audit_log(signed_in: Clients) -> None:
    admin = signed_in("admin")
    made = admin.post("/api/v1/users", json={"name": "Zoë", "role": "viewer", "password": "another long one"}).json()
    assert admin.post("/api/v1/users", json={"name": "Zoë", "role": "viewer", "password": "another long one"}).status_code == 422
    assert admin.post("/api/v1/users", json={"name": "y", "role": "viewer", "password": "short"}).status_code == 422
    assert admin.patch(f"/api/v1/users/{made['id']}", json={"cameras": ["yard"]}).json()["cameras"] == ["yard"]
    token = admin.post(f"/api/v1/users/{made['id']}/tokens", json={"label": "x", "days": 1}).json()["secret"]
    zoe = {"authorization": f"Bearer {token}"}
    other = TestClient(admin.app, "http://localhost", headers=zoe)
    assert other.get("/api/v1/session").json()["name"] == "Zoë" and other.get("/api/v1/users").status_code == 403
    assert other.post("/api/v1/users/4/tokens", json={}).status_code == 403
    assert admin.delete(f"/api/v1/users/{made['id']}").status_code == 204 and other.get("/api/v1/session").status_code == 401
    rows = admin.get("/api/v1/audit?limit=3").json()
    assert rows["items"][0]["what"] == "user removed" and rows["items"][0]["user"] == "admin" and rows["next"]
    assert (
        admin.get("/api/v1/audit/verify").json()["fault"] == "" and signed_in("operator").get("/api/v1/audit").status_code == 403
    )


def test_the_state_of_the_cameras_is_shown_as_live_writes_it(signed_in: Clients, console_out: Path) -> None:
    assert signed_in("viewer").get("/api/v1/cameras").json() == {"running": False, "at": None, "cameras": []}
    state = StatusFile(console_out, command="live")
    report = SourceReport("yard", "rtsp://u:secret@h/1", state="streaming", counts={"reconnects": 2}, delay_s=0.2)
    state.update(Status([], [report]))
    found = signed_in("viewer").get("/api/v1/cameras").json()
    assert found["running"] and found["cameras"][0]["state"] == "streaming" and "secret" not in json.dumps(found)
    state.close()
    assert signed_in("viewer").get("/api/v1/cameras").json()["cameras"][0]["state"] == "stopped"
    (console_out / "status.json").write_text('{"command": "live", "sources": [1, {"name": 3}], "at": "x"}')
    assert signed_in("viewer").get("/api/v1/cameras").json()["cameras"] == []


def test_unknown_people_are_grouped_only_where_it_is_asked_for(signed_in: Clients, console_out: Path) -> None:
    rng, store = np.random.default_rng(0), Store(console_out / "farsight.db")
    digest = recognizer_card(None)["sha256"]
    one, two = rng.standard_normal((2, 256)).astype(np.float32)
    rows = []
    for n in range(6):
        vector = (one if n % 2 else two) + 0.1 * rng.standard_normal(256).astype(np.float32)
        template = (vector / np.linalg.norm(vector)).astype(np.float16).tobytes()
        rows.append(
            row(PATH, "no_match")
            | {"track": f"u-{n:04d}", "template": template, "quality": 0.9, "face_px": 60.0, "recognizer": digest}
        )
    store.put_tracks(rows)
    client = signed_in("operator")
    assert client.get("/api/v1/unknowns").status_code == 403
    store.set_preferences({"unknowns": True})
    found = client.get("/api/v1/unknowns").json()
    assert [group["seen"] for group in found] == [3, 3]
    ignored = [(track["source"], track["track"]) for track in found[0]["tracks"]]
    assert client.post("/api/v1/unknowns/ignore", json={"tracks": ignored}).status_code == 204
    assert [group["seen"] for group in client.get("/api/v1/unknowns").json()] == [3]


def test_the_client_reviews_every_match(console_app: FastAPI) -> None:
    console = ConsoleClient(http=TestClient(console_app, "http://localhost"))  # type: ignore[arg-type]
    with pytest.raises(ConsoleError) as refused:
        list(console.tracks())
    assert refused.value.status == 401
    console.sign_in("reviewer", PASSWORD)
    assert [t["track"] for t in console.tracks(limit=1)] == ["z-0001", "y-0001", "x-0007"]
    for found in console.tracks(outcome="match", review="open"):
        assert console.review(found["source"], found["track"], "confirmed") == "confirmed"
    assert console.track("cam", "x-0007")["review"] == "confirmed" and [p["name"] for p in console.people("a")] == ["Ada"]


def test_the_description_of_the_api_is_that_of_the_application() -> None:
    assert openapi.FILE.read_text() == openapi.text(), "run `python -m console.openapi`"
