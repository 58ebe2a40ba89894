import json
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import recognizer_card
from pipeline.errors import OutputError
from stages import storage_retry
from stages.record import Record, json_line
from stages.records import Shot, Template, Track
from stages.search import Search
from tests.running import ROOT
from watchlist.database import Database
from watchlist.jsonl import append_text
from watchlist.store import Store

DIM = 256


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def template(vector: np.ndarray | None, name: str = "t1", shots: int = 1, version: int = 1, final: bool = True) -> Template:
    shot = Shot(1.0, np.array([1, 2, 31, 42], np.float32), 0.9, 30.0, 10.0, 0.5, np.zeros((32, 32, 3), np.uint8), b"\x89PNG")
    path = np.array([[0, 1, 2, 31, 42]], np.float32)
    return Template(
        Track("cam", name, version, final, 0.0, 1.0, path, (shot,) * shots, None, {"blurred": 2}),
        None,
        vector,
        0.6 if vector is not None else 0.0,
    )


@pytest.fixture
def database(tmp_path: Path) -> Path:
    store = Store(tmp_path / "farsight.db")
    store.add_enrolment(store.add_identity("Ada"), "a.png", "1", b"", unit(1), recognizer_card()["sha256"], 0.9, 80.0)
    store.close()
    return tmp_path / "farsight.db"


def decide(database: Path, *templates: Template) -> list:
    search = Search(database, fpir=0.01)
    search.open()
    return search.process(list(templates))


def test_a_track_is_a_match_no_match_or_not_assessable(database: Path) -> None:
    match, stranger, nothing = decide(database, template(unit(1)), template(unit(2)), template(None, shots=0))
    assert (match.outcome, match.name) == ("match", "Ada") and match.score > 0.99 > match.threshold
    assert (stranger.outcome, stranger.name) == ("no_match", "Ada") and stranger.score < stranger.threshold
    assert (nothing.outcome, nothing.score) == ("not_assessable", None) and nothing.reasons[0] == "no_usable_shot"


def test_a_static_track_is_not_assessable_but_a_match_is_never_hidden_by_it(database: Path) -> None:
    still = [template(unit(1)), template(unit(2), "t2"), template(None, "t3", shots=0)]
    match, thing, nothing = decide(database, *(replace(t, track=replace(t.track, static=True)) for t in still))
    assert (match.outcome, match.name, match.reasons[0]) == ("match", "Ada", "static")
    assert (thing.outcome, thing.reasons) == ("not_assessable", ("static", "blurred: 2"))
    assert thing.score is not None and thing.threshold is not None and thing.score < thing.threshold  # compared all the same
    assert (nothing.outcome, nothing.reasons[:2]) == ("not_assessable", ("no_usable_shot", "static"))


def test_a_live_track_needs_more_than_one_that_is_decided_once(database: Path) -> None:
    recorded = template(unit(2))
    live = replace(recorded, track=replace(recorded.track, epoch=1.7e9, final=False))
    once, again = decide(database, recorded, live)
    assert again.threshold > once.threshold and again.fpir == once.fpir == 0.01


def test_more_shots_need_another_threshold(database: Path) -> None:
    assert len({found.threshold for found in decide(database, *(template(unit(2), shots=n) for n in (1, 3, 5)))}) == 3


def test_an_empty_watchlist_matches_nobody(tmp_path: Path) -> None:
    Store(tmp_path / "farsight.db").close()
    found = decide(tmp_path / "farsight.db", template(unit(1)))[0]
    assert found.outcome == "no_match" and "empty_watchlist" in found.reasons
    still = template(unit(1))
    found = decide(tmp_path / "farsight.db", replace(still, track=replace(still.track, static=True)))[0]
    assert found.outcome == "not_assessable" and found.reasons[:2] == ("empty_watchlist", "static")


def test_after_a_fault_the_list_is_read_again(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(database, fpir=0.01)
    search.open()
    store = Store(database)
    store.add_enrolment(store.add_identity("Bo"), "b.png", "2", b"", unit(2), recognizer_card()["sha256"], 0.9, 80.0)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "photo_embeddings", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")))
        with pytest.raises(sqlite3.OperationalError):
            search.process([template(unit(2))])
    assert search.process([template(unit(2))])[0].name == "Bo"


def test_a_line_for_each_finished_track_and_only_one(database: Path) -> None:
    record = Record(database.parent, database)
    record.open()
    early, final = (decide(database, template(unit(1), final=f, version=v))[0] for f, v in ((False, 1), (True, 2)))
    stranger = decide(database, template(unit(2), "t2"))[0]
    for sighting in (early, final, stranger, final):  # the last one again, as after a crash
        record.process([sighting])
    record.close()
    lines = [json.loads(line) for line in (database.parent / "sightings.jsonl").read_text().splitlines()]
    assert [(x["track"], x["outcome"], x["name"]) for x in lines] == [("t1", "match", "Ada"), ("t2", "no_match", None)]
    assert set(lines[0]) == {
        "source",
        "track",
        "start_s",
        "end_s",
        "outcome",
        "identity",
        "name",
        "score",
        "threshold",
        "fpir",
        "shots",
        "face_px",
        "best",
        "reasons",
    }
    assert set(lines[0]["best"]) == {"pts_s", "box", "crop"}
    assert (database.parent / lines[0]["best"]["crop"]).read_bytes() == b"\x89PNG"


def test_an_older_report_never_overwrites_a_newer_one(database: Path) -> None:
    record = Record(database.parent, database)
    record.open()
    new, old = (decide(database, template(unit(1), version=v, final=v == 2))[0] for v in (2, 1))
    record.process([new])
    record.process([old])
    record.close()
    assert Store(database).tracks()[0]["version"] == 2


def test_a_finished_track_stays_finished_and_has_one_line_with_the_last_word(database: Path) -> None:
    record = Record(database.parent, database)
    record.open()
    first, later, last = (decide(database, template(unit(1), version=v, final=v == 3))[0] for v in (1, 2, 3))
    record.process([first])
    record._store.finish_abandoned()
    append_text(database.parent / "sightings.jsonl", json_line(record._store.tracks()[0]))
    record.process([later])  # its camera was only held up for long
    assert record._store.is_final("cam", "t1")
    last = replace(last, template=replace(last.template, track=replace(last.track, end_s=9.0)))
    record.process([last])
    record.close()
    assert [t["end_s"] for t in Store(database).tracks()] == [9.0]
    assert [json.loads(line)["end_s"] for line in (database.parent / "sightings.jsonl").read_text().splitlines()] == [9.0]


@pytest.mark.parametrize("fault", ["versions", "list_version", "open"])
def test_a_database_that_cannot_be_read_for_a_while_loses_nothing(
    database: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(storage_retry, "BACKOFF_S", (0.01, 0.02))
    failures = [1, 1, 1]
    reads = {"versions": (Store, "versions"), "list_version": (Store, "list_version"), "open": (Database, "_migrate")}
    owner, name = reads[fault]
    real = getattr(owner, name)

    def flaky(*arguments: object) -> object:
        if armed and failures:
            failures.pop()
            raise sqlite3.OperationalError("disk I/O error")
        return real(*arguments)

    armed = fault == "open"
    monkeypatch.setattr(owner, name, flaky)
    search, record = Search(database, keep_trying=True), Record(database.parent, database, keep_trying=True)
    search.open()
    record.open()
    armed = True
    found = record.process(search.process([template(unit(1))]))
    assert found[0].name == "Ada" and not failures
    assert [t["track"] for t in Store(database).tracks()] == ["t1"]
    assert sum(n for what, n in (search.counters() | record.counters()).items() if what.startswith("trouble: ")) == 3


def test_a_full_disk_is_one_line_and_keeps_what_was_written(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(database.parent, database)
    record.open()
    record.process(decide(database, template(unit(2), "t1")))

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="No space left on device; what was written is kept") as caught:
        record.process(decide(database, template(unit(2), "t2")))
    assert caught.value.exit_code == 4
    assert [t["track"] for t in Store(database).tracks()] == ["t1"]


def test_a_disk_that_fails_for_a_while_loses_nothing(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_retry, "BACKOFF_S", (0.05, 0.1))
    out = database.parent
    record = Record(out, database, keep_trying=True)
    record.open()
    live = [template(unit(1), "t1"), template(unit(2), "t2")]
    sightings = decide(database, *(replace(t, track=replace(t.track, epoch=1.7e9)) for t in live))
    record.process(sightings[:1])
    (out / "sightings.jsonl").rename(out / "kept")
    (out / "sightings.jsonl").mkdir()  # nothing can be added to a folder

    def mend() -> None:
        (out / "sightings.jsonl").rmdir()
        (out / "kept").rename(out / "sightings.jsonl")

    threading.Timer(0.4, mend).start()
    record.process(sightings[1:])
    record.close()
    assert [json.loads(line)["track"] for line in (out / "sightings.jsonl").read_text().splitlines()] == ["t1", "t2"]
    assert record.counters()["trouble: writing: Is a directory"] >= 2
    store = Store(database)
    assert [(t["started_at"], t["ended_at"]) for t in store.tracks()] == [(1.7e9, 1.7e9 + 1)] * 2
    assert store.tracks(started_after=1.7e9 + 1) == []


def test_a_half_written_line_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real full file system would do; a limit on the size of files does the same for anybody."""
    path = tmp_path / "lines"
    append_text(path, "first\n")
    code = (
        "import resource, signal, sys; from pathlib import Path; from watchlist.jsonl import append_text;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100));"
        "append_text(Path(sys.argv[1]), 'x' * 200)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=ROOT)
    assert "File too large" in done.stderr and path.read_text() == "first\n"


def test_lines_are_not_written_into_a_backup_that_shares_the_file(tmp_path: Path) -> None:
    lines, backup = tmp_path / "sightings.jsonl", tmp_path / "backup.jsonl"
    append_text(lines, "one\n")
    backup.hardlink_to(lines)
    append_text(lines, "two\n")
    append_text(lines, "three\n")
    assert (lines.read_text(), backup.read_text()) == ("one\ntwo\nthree\n", "one\n")


def test_tracks_of_a_start_that_was_cut_off_are_finished_by_the_next(database: Path) -> None:
    for start in range(2):
        store = Store(database)
        store.finish_abandoned()
        record = Record(database.parent, database)
        record.open()
        if start == 0:
            record.process(decide(database, template(unit(1), final=False)))
            assert not store.is_final("cam", "t1")
        record.close()
    assert [json.loads(line)["name"] for line in (database.parent / "sightings.jsonl").read_text().splitlines()] == ["Ada"]


def test_a_change_of_the_watchlist_counts_at_once(database: Path) -> None:
    search = Search(database, fpir=0.01)
    search.open()
    store = Store(database)
    assert search.process([template(unit(2))])[0].outcome == "no_match"
    store.add_enrolment(store.add_identity("Bo"), "b.png", "2", b"", unit(2), recognizer_card()["sha256"], 0.9, 80.0)
    assert search.process([template(unit(2))])[0].name == "Bo"
    store.remove_identity(store.add_identity("Bo"))
    assert search.process([template(unit(2))])[0].name == "Ada"
    store.put_embeddings({1: (unit(1), 0.9)}, "another recogniser")
    assert search.process([template(unit(1))])[0].outcome == "match"  # what was searched before stays in use
    assert [name for name in search.counters() if name.startswith("trouble: watchlist: ")]
    search.close()
