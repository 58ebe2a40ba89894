"""Sightings and reviews through the API, and what a review does elsewhere."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cli import app as command_line
from console.api.events import Watcher, _changes
from console.auth import User
from stages.record import write_jsonl
from tests.console.conftest import Clients
from tests.stages.test_annotate import PATH, row
from watchlist.alert_tables import Alert
from watchlist.store import Store

ADA = "/api/v1/tracks/cam/x-0007"


def test_the_feed_has_the_newest_first_a_page_at_a_time(signed_in: Clients) -> None:
    client = signed_in("viewer")
    first = client.get("/api/v1/tracks?limit=2").json()
    second = client.get("/api/v1/tracks", params={"limit": 2, "after": first["next"]}).json()
    assert [t["track"] for t in first["items"] + second["items"]] == ["z-0001", "y-0001", "x-0007"] and second["next"] is None
    line = {"source", "track", "start_s", "end_s", "outcome", "identity", "name", "score", "threshold", "fpir", "shots"}
    assert line | {"face_px", "best", "reasons"} <= first["items"][0].keys()
    assert client.get("/api/v1/tracks?after=cam/gone").status_code == 404


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("outcome=match", ["x-0007"]),
        ("source=yard", ["z-0001"]),
        ("person=1", ["x-0007"]),
        ("review=open", ["x-0007"]),
        ("review=rejected", []),
        ("min_px=10000", []),
        ("source=nowhere", []),
    ],
)
def test_the_feed_is_filtered(signed_in: Clients, query: str, found: list[str]) -> None:
    assert [t["track"] for t in signed_in("viewer").get(f"/api/v1/tracks?{query}").json()["items"]] == found


@pytest.mark.parametrize(
    "query", ["outcome=maybe", "review=nice", "since=nan", "since=12", "limit=0", "limit=501", "person=" + "9" * 30]
)
def test_a_filter_that_cannot_be_is_refused_with_a_reason(signed_in: Clients, query: str) -> None:
    answer = signed_in("viewer").get(f"/api/v1/tracks?{query}")
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]


def test_a_rejected_match_is_no_match_in_every_output(console_out: Path, signed_in: Clients) -> None:
    store = Store(console_out / "farsight.db")
    write_jsonl(console_out / "sightings.jsonl", store.iter_final())
    (console_out / "report.html").write_text("Ada")
    length = (console_out / "sightings.jsonl").stat().st_size
    client = signed_in("reviewer")
    assert client.post(f"{ADA}/review", json={"verdict": "rejected", "note": "somebody else"}).json() == {"state": "rejected"}
    lines = [json.loads(line) for line in (console_out / "sightings.jsonl").read_text().splitlines()]
    assert len(lines) == 3 and all(line["identity"] is None and line["outcome"] != "match" for line in lines)
    assert not (console_out / "report.html").exists() and "<b>0</b>matches" in client.get("/report").text
    assert client.get("/api/sightings?outcome=match").json() == [] and store.tracks_of_identity(1) == []
    assert client.get("/api/v1/tracks?outcome=match").json()["items"] == []
    run = CliRunner().invoke(command_line, ["export", str(console_out / "c.zip"), "--db", str(console_out), "--identity", "1"])
    assert run.exception is not None  # no track is this person's any more
    store.put_tracks([row(PATH) | {"identity": 1, "name": "Ada", "version": 99}])  # a resumed run decides again
    assert client.get(ADA).json()["outcome"] == "no_match"
    assert client.post(f"{ADA}/review", json={"verdict": "open"}).json() == {"state": "open"}
    assert (console_out / "sightings.jsonl").stat().st_size == length
    lines = [json.loads(line) for line in (console_out / "sightings.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines if line["outcome"] == "match"] == ["Ada"]


def test_a_line_that_a_backup_shares_is_not_changed_in_the_backup(console_out: Path, signed_in: Clients) -> None:
    lines = console_out / "sightings.jsonl"
    write_jsonl(lines, Store(console_out / "farsight.db").iter_final())
    (console_out / "backup.jsonl").hardlink_to(lines)
    before = lines.read_text()
    signed_in("reviewer").post(f"{ADA}/review", json={"verdict": "rejected"})
    assert (console_out / "backup.jsonl").read_text() == before != lines.read_text()


def test_a_match_that_is_rejected_before_its_end_is_written_as_no_match(console_out: Path, tmp_path: Path) -> None:
    from stages.record import Record

    record = Record(console_out, console_out / "farsight.db")
    record.open()
    store = Store(console_out / "farsight.db")
    store.put_tracks([row(PATH) | {"track": "open-0009", "identity": 1, "name": "Ada", "final": 0}])
    store.put_review("cam", "open-0009", "rejected")
    done = row(PATH) | {"track": "open-0009", "identity": 1, "name": "Ada", "version": 5}
    store.put_tracks([done])
    record._append([done | {"best_box": "null", "reasons": "[]"}])
    assert json.loads((console_out / "sightings.jsonl").read_text().splitlines()[-1])["outcome"] == "no_match"


def test_with_two_persons_the_second_one_decides(console_out: Path, signed_in: Clients) -> None:
    store = Store(console_out / "farsight.db")
    store.set_preferences({"review": {"persons": 2}})
    first, second = signed_in("reviewer"), signed_in("operator")
    say = lambda client, verdict: client.post(f"{ADA}/review", json={"verdict": verdict}).json()["state"]  # noqa: E731
    assert [say(first, "confirmed"), say(first, "confirmed"), say(second, "rejected"), say(second, "confirmed")] == [
        "second", "second", "rejected", "confirmed"
    ]  # fmt: skip
    assert client_queue(first) == {"open": 0, "second": 0, "confirmed": 1, "rejected": 0}
    rows = [found for found in store.audit_rows() if found["what"] == "review"]
    assert [found["user"] for found in rows] == ["operator", "operator", "reviewer", "reviewer"]
    assert {"identity", "score", "threshold", "recognizer", "database"} <= rows[0]["detail"].keys()


def client_queue(client: TestClient) -> dict[str, int]:
    return dict(client.get("/api/v1/tracks/queues").json())


def test_of_two_people_who_review_at_a_time_the_later_is_told(signed_in: Clients) -> None:
    client = signed_in("reviewer")
    assert client.post(f"{ADA}/review", json={"verdict": "confirmed", "last_review": 0}).status_code == 200
    late = client.post(f"{ADA}/review", json={"verdict": "rejected", "last_review": 0})
    assert late.status_code == 409 and late.json()["title"] == "Changed meanwhile"


def test_a_viewer_reviews_nothing_and_nobody_reviews_other_cameras(console_out: Path, signed_in: Clients) -> None:
    assert signed_in("viewer").post(f"{ADA}/review", json={"verdict": "rejected"}).status_code == 403
    Store(console_out / "farsight.db").change_account(2, cameras=["yard"])
    client = signed_in("reviewer")
    assert client.post(f"{ADA}/review", json={"verdict": "rejected"}).status_code == 404 and client.get(ADA).status_code == 404


def test_a_database_that_is_locked_for_long_is_answered_and_read_on(
    console_out: Path, signed_in: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    from console import context

    monkeypatch.setattr(context, "WRITE_WAIT_S", 0.3)
    client = signed_in("reviewer")
    console = client.app.state.console  # type: ignore[attr-defined]
    console._writer.set_busy_timeout(0.3)
    other = sqlite3.connect(console_out / "farsight.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    refused = client.post(f"{ADA}/review", json={"verdict": "rejected"})
    assert refused.status_code == 503 and refused.headers["retry-after"] == "5" and time.monotonic() - began < 3
    assert client.get(ADA).json()["outcome"] == "match"
    other.execute("COMMIT")
    assert client.post(f"{ADA}/review", json={"verdict": "rejected"}).status_code == 200


def test_a_writer_waits_for_no_reader_of_the_console(console_out: Path, signed_in: Clients) -> None:
    client, store, slowest = signed_in("viewer"), Store(console_out / "farsight.db"), 0.0
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            client.get("/api/v1/tracks")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(50):
        began = time.monotonic()
        store.put_tracks([row(PATH) | {"track": f"n-{n:04d}"}])
        slowest = max(slowest, time.monotonic() - began)
    stop.set()
    for reader in readers:
        reader.join()
    assert slowest < 1.0


def test_a_new_match_is_told_within_a_second(console_app: FastAPI, console_out: Path) -> None:
    store, watcher = Store(console_out / "farsight.db"), Watcher(console_app.state.console)
    user = User(1, "viewer", "viewer")

    async def wait() -> str:
        feed, alert, began = watcher.number, watcher.alert, time.monotonic()
        store.put_tracks([row(PATH) | {"track": "new-0009", "identity": 1, "name": "Ada", "final": 0}])
        store.put_alerts([Alert("k", "match", time.time(), "cam", "new-0009", 1, "{}")], [])
        while (watcher.number, watcher.alert) == (feed, alert):
            await watcher.look()
            assert time.monotonic() - began < 1.0
            await asyncio.sleep(0.05)
        return _changes(console_app.state.console, user, feed, alert)[2]

    text = asyncio.run(wait())
    assert "event: track\n" in text and "event: alert\n" in text and '"track": "new-0009"' in text and '"name": "Ada"' in text
    assert _changes(console_app.state.console, User(1, "v", "viewer", ("yard",)), 0, 0)[2].count("event:") == 1
    assert '"source": "yard"' in _changes(console_app.state.console, User(1, "v", "viewer", ("yard",)), 0, 0)[2]


def test_the_track_page_has_the_nearest_people(console_out: Path, signed_in: Clients) -> None:
    import numpy as np

    store = Store(console_out / "farsight.db")
    for identity, value in ((1, 1.0), (2, 0.5)):
        vector = np.array([value, (1 - value**2) ** 0.5, 0, 0], np.float32)
        store.add_enrolment(identity, "a.png", "1", b"", vector, "r", 0.9, 80.0)
    assert signed_in("viewer").get(ADA).json()["nearest_people"] == []
    store._db.execute("UPDATE tracks SET recognizer = 'r', template = ?", (np.array([1, 0, 0, 0], np.float16).tobytes(),))
    found = signed_in("viewer").get(ADA).json()
    assert [(near["name"], round(near["score"], 2)) for near in found["nearest_people"]] == [("Ada", 1.0), ("Bo", 0.5)]
    assert found["persons"] == 1 and found["reviews"] == [] and found["box"] == "7"


def test_a_changed_audit_log_is_found(console_out: Path, signed_in: Clients) -> None:
    verify = lambda *more: CliRunner().invoke(command_line, ["audit", "verify", "--db", str(console_out), *more])  # noqa: E731
    signed_in("reviewer").post(f"{ADA}/review", json={"verdict": "confirmed"})
    whole = verify()
    head = whole.output.split()[-1]
    assert whole.exit_code == 0 and verify("--head", head).exit_code == 0 and verify("--head", "0" * 64).exception is not None
    store = Store(console_out / "farsight.db")
    for change, said in (
        ("UPDATE audit SET detail = '{}' WHERE id = 2", "row 2: was changed"),
        ("UPDATE audit SET user = 'nobody' WHERE id = 3", "row 3: was changed"),
        ("DELETE FROM audit WHERE id = 2", "row 2: is missing"),
        ("DELETE FROM audit WHERE id = (SELECT MAX(id) FROM audit)", "is missing, and all after it"),
    ):
        store._db.execute("SAVEPOINT s")
        store._db.execute(change)
        checked = store.__class__.verify_audit
        store._db.execute("RELEASE s")
        assert said.split(": ")[-1] in checked(store).fault
        error = verify().exception
        assert getattr(error, "exit_code", None) == 1 and said in str(error)
        _undo(store, console_out)


def _undo(store: Store, out: Path) -> None:
    """Chain the rows that there are anew, numbered from 1."""
    from watchlist.audit_chain import chain_existing

    rows = [tuple(found) for found in store._db.execute("SELECT at, what, detail, user FROM audit ORDER BY id").fetchall()]
    store._db.execute("DELETE FROM audit")
    store._db.execute("DELETE FROM sqlite_sequence WHERE name = 'audit'")
    store._db.executemany("INSERT INTO audit (at, what, detail, user) VALUES (?, ?, ?, ?)", rows)
    chain_existing(store._db)
    assert store.verify_audit().fault == ""
