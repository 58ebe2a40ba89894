import json
from pathlib import Path

import numpy as np
import pytest

from models import recognizer_card
from pipeline.errors import OutputError
from stages.record import Record
from stages.records import Shot, Template, Track
from stages.search import Search
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


def test_three_outcomes(database: Path) -> None:
    match, stranger, nothing = decide(database, template(unit(1)), template(unit(2)), template(None, shots=0))
    assert (match.outcome, match.name) == ("match", "Ada") and match.score > 0.99 > match.threshold
    assert (stranger.outcome, stranger.name) == ("no_match", "Ada") and stranger.score < stranger.threshold
    assert (nothing.outcome, nothing.score) == ("not_assessable", None) and nothing.reasons[0] == "no_usable_shot"


def test_an_empty_watchlist_matches_nobody(tmp_path: Path) -> None:
    Store(tmp_path / "farsight.db").close()
    found = decide(tmp_path / "farsight.db", template(unit(1)))[0]
    assert found.outcome == "no_match" and "empty_watchlist" in found.reasons


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
