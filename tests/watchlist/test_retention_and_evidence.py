"""What is forgotten is gone, and what is handed on is whole."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stages.record import write_jsonl
from tests.watchlist.test_search_back import VECTORS, put
from watchlist.alert_tables import Alert
from watchlist.evidence import export_case
from watchlist.retention import DAY_S, RetentionPolicy, purge
from watchlist.store import Store

NOW = 1e9 + 100 + 10 * DAY_S  # tracks 1, 3, ... 99 ended just over ten days ago


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A hundred tracks with pictures, lines and an undelivered alert; half of them of known hour; t1 to t19 matched."""
    found = Store(tmp_path / "farsight.db")
    for n in range(100):
        pictures = {kind: f"crops/cam{n % 3}/t{n:03d}-{kind}.png" for kind in ("crop", "restored")}
        for name in pictures.values():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"picture")
        put(found, range(n, n + 1), outcome="match" if n < 20 else "no_match", identity=1 if n < 20 else None, **pictures)
    found.put_alerts(
        [Alert(f"k{n}", "match", 1e9, f"cam{n % 3}", f"t{n:03d}", 1, f'{{"track": "t{n:03d}"}}') for n in (0, 1)], ["webhook"]
    )
    (tmp_path / "alerts.jsonl").write_text('{"track": "t000"}\n{"track": "t001"}\n')
    write_jsonl(tmp_path / "sightings.jsonl", found.tracks())
    return found


def test_a_purge_leaves_no_trace_of_what_is_old_and_all_of_the_rest(store: Store, tmp_path: Path) -> None:
    proof = purge(store, tmp_path, RetentionPolicy({"match": 10, "no_match": 11, "not_assessable": 0}), NOW)
    assert (proof.tracks, proof.pictures, proof.left) == (10, 20, [])  # t1, t3 ... t19: older than ten days
    assert {"farsight.db", "sightings.jsonl", "alerts.jsonl"} <= set(proof.looked_in)
    left = {json.loads(line)["track"] for line in (tmp_path / "sightings.jsonl").read_text().splitlines()}
    assert left == {f"t{n:03d}" for n in range(100)} - {f"t{n:03d}" for n in range(1, 20, 2)}
    assert (tmp_path / "alerts.jsonl").read_text() == '{"track": "t000"}\n'
    assert [alert.key for alert in store.undelivered("webhook")] == ["k0"]
    vector = VECTORS[3].astype(np.float16).tobytes()
    assert not any(vector in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())  # not even in free pages


def test_pictures_may_go_before_the_rest(store: Store, tmp_path: Path) -> None:
    proof = purge(store, tmp_path, RetentionPolicy({}, pictures=5), NOW)
    assert (proof.tracks, proof.pictures) == (0, 100)
    assert len(store.tracks()) == 100 and sum(track["crop"] is None for track in store.tracks()) == 50


def test_numbered_pictures_of_photos_go_with_the_pictures(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "several-faces"
    folder.mkdir()
    for name, days in (("old-0123abcd.jpg", 6), ("new-0123abcd.jpg", 4)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (NOW - days * DAY_S, NOW - days * DAY_S))
    assert purge(store, tmp_path, RetentionPolicy({"no_match": 1000}), NOW).pictures == 0
    assert purge(store, tmp_path, RetentionPolicy({}, pictures=5), NOW).pictures == 101
    assert [path.name for path in folder.iterdir()] == ["new-0123abcd.jpg"]


def test_the_report_goes_and_a_broken_line_stays(store: Store, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("t001")
    with (tmp_path / "sightings.jsonl").open("a") as file:
        file.write('{"track": "t0')
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).left == []
    assert not (tmp_path / "report.html").exists() and (tmp_path / "sightings.jsonl").read_text().endswith('{"track": "t0')


def test_a_purge_that_was_cut_off_is_finished_by_the_next(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, pytest.raises(KeyboardInterrupt):
        broken.setattr(store, "delete_tracks", lambda tracks: (_ for _ in ()).throw(KeyboardInterrupt))
        purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW)
    proof = purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW)
    assert (proof.tracks, proof.pictures, proof.left) == (10, 0, [])


def test_a_file_with_deleted_content_is_named_by_the_purge(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("look at t003 again")
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).left == ["notes.txt"]


def test_an_evidence_bundle_is_complete_and_its_hashes_fit(store: Store, tmp_path: Path) -> None:
    identity = store.add_identity("Ada", purpose="test")
    store.add_enrolment(identity, "a.png", "1", b"chip", VECTORS[0], "r", 0.9, 80.0)
    rows = [track for track in store.tracks() if track["track"] in ("t004", "t030")]
    assert export_case(store, tmp_path, rows, tmp_path / "case.zip") == 7
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        sums = dict(line.split("  ")[::-1] for line in archive.read("sha256sums.txt").decode().splitlines())
        assert set(sums) == set(archive.namelist()) - {"sha256sums.txt"}
        assert all(hashlib.sha256(archive.read(name)).hexdigest() == digest for name, digest in sums.items())
        case = json.loads(archive.read("case.json"))
    assert {track["track"] for track in case["tracks"]} == {"t004", "t030"} and case["identities"][0]["name"] == "Ada"
    assert "enrolled/1-1.png" in sums and "crops/cam1/t004-crop.png" in sums


def test_a_file_with_deleted_content_is_named_by_every_purge_until_it_is_clean(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("look at t003 again, and at t0")
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).left == ["notes.txt"]
    again = purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW)
    assert (again.tracks, again.left) == (0, ["notes.txt"])
    assert b"t003" not in store.path.read_bytes()  # what is remembered is a salted sum
    (tmp_path / "notes.txt").write_text("look at it again")
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).left == []


def test_a_purge_leaves_no_part_of_a_template_in_any_file(store: Store, tmp_path: Path) -> None:
    for version in range(2, 6):  # written over and over, as live tracks are
        put(store, range(100), version=version, outcome="match", identity=1)
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).left == []
    kept = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for n in range(1, 99, 2):  # t099 ended a second too late
        template = VECTORS[n].astype(np.float16).tobytes()
        assert not any(template[at : at + 8] in content for content in kept for at in range(0, len(template) - 8, 8)), n
        assert not any(b"t%03d" % n in content for content in kept)


def test_tracks_of_one_name_at_another_camera_keep_their_lines(store: Store, tmp_path: Path) -> None:
    put(store, range(3, 4), source="yard", started_at=9e9, ended_at=9e9)
    write_jsonl(tmp_path / "sightings.jsonl", store.tracks())
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).left == []
    sources = [line["source"] for line in map(json.loads, (tmp_path / "sightings.jsonl").open()) if line["track"] == "t003"]
    assert sources == ["yard"]


def test_while_the_database_is_in_use_the_purge_says_so_and_the_next_finishes(store: Store, tmp_path: Path) -> None:
    reader = Store(store.path)
    reader._db.execute("BEGIN")
    reader._db.execute("SELECT COUNT(*) FROM tracks").fetchone()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("watchlist.database.CHECKPOINT_TIMEOUT_MS", 50)
        proof = purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW)
    assert not proof.compacted and store.erasure_pending()
    reader._db.execute("COMMIT")
    again = purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW)
    assert (again.tracks, again.compacted, again.left) == (0, True, []) and not store.erasure_pending()


def test_the_crops_of_all_shots_are_exported_and_go_with_their_track(store: Store, tmp_path: Path) -> None:
    store._db.execute("UPDATE tracks SET shots = 3")
    for n in (0, 1):
        for number in (2, 3):
            (tmp_path / f"crops/cam{n}/t{n:03d}-shot{number}.png").write_bytes(b"shot")
    export_case(store, tmp_path, store.find_tracks([("cam1", "t001")]), tmp_path / "case.zip")
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        assert {"crops/cam1/t001-shot2.png", "crops/cam1/t001-shot3.png"} < set(archive.namelist())
    assert purge(store, tmp_path, RetentionPolicy({"match": 10}), NOW).pictures == 22
    assert not list(tmp_path.rglob("t001-*.png")) and len(list(tmp_path.rglob("t000-*.png"))) == 4
