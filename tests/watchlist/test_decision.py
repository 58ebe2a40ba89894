"""Finished tracks decided once more, for another list or rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.stage_templates import as_track
from stages.aggregate import Aggregate
from stages.records import EmbeddedTrack
from tests.stages.test_annotate import PATH, row
from watchlist.database import StoreError
from watchlist.decision import decision_digest, redecide_tracks
from watchlist.store import Store
from watchlist.thresholds import Thresholds

THRESHOLDS = Thresholds(
    [{"face_px": 1e9, "log10_fmr": [-1, -2, -3], "scores": [0.3, 0.6, 0.9], "tail": {"shape": 0.0, "scale": 0.01}}]
)
VECTORS = np.eye(4, dtype=np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Tracks of two people, and one that nobody can judge; the first is enrolled."""
    store = Store(tmp_path / "f.db")
    for n, outcome in enumerate(("no_match", "no_match", "not_assessable")):
        vector = 0.8 * VECTORS[n] + 0.6 * VECTORS[3]
        kept = {"track": f"t{n}", "template": vector.astype(np.float16).tobytes(), "recognizer": "r", "name": None}
        store.put_tracks([row(PATH, outcome) | kept])
    enrol(store, 0)
    return store


def enrol(store: Store, number: int) -> None:
    store.add_enrolment(store.add_identity(f"p{number}"), "", str(number), b"", VECTORS[number], "r", 0.9, 50.0)


def outcomes(store: Store) -> list[tuple[str, str | None]]:
    return [(t["outcome"], t["name"]) for t in store.tracks()]


def test_a_person_enrolled_later_is_found_in_earlier_tracks(store: Store) -> None:
    assert redecide_tracks(store, "r", THRESHOLDS, 0.01) == 1
    assert outcomes(store) == [("match", "p0"), ("no_match", None), ("not_assessable", None)]
    enrol(store, 1)
    assert redecide_tracks(store, "r", THRESHOLDS, 0.01) == 1
    assert outcomes(store) == [("match", "p0"), ("match", "p1"), ("not_assessable", None)]
    assert redecide_tracks(store, "r", THRESHOLDS, 0.01) == 0


def test_a_lower_false_alarm_rate_needs_a_higher_score(store: Store) -> None:
    redecide_tracks(store, "r", THRESHOLDS, 0.01)
    assert redecide_tracks(store, "r", THRESHOLDS, 0.001) == 1
    first = store.tracks()[0]
    assert (first["outcome"], first["identity"], first["nearest"], first["fpir"]) == ("no_match", None, "p0", 0.001)
    assert first["score"] == pytest.approx(0.8, abs=1e-3) and first["threshold"] > 0.8


def test_tracks_of_another_recogniser_are_refused_by_name(store: Store) -> None:
    with pytest.raises(StoreError, match="made with another recogniser"):
        redecide_tracks(store, "other", THRESHOLDS, 0.01)


def test_the_sum_changes_with_list_rate_and_thresholds_and_with_nothing_else(store: Store) -> None:
    before = decision_digest(store, THRESHOLDS, 0.01)
    assert decision_digest(store, THRESHOLDS, 0.01) == before
    store.put_decided_by(before)
    assert store.decided_by() == before
    other = Thresholds([{"face_px": 1e9, "log10_fmr": [-1, -2], "scores": [0.3, 0.5], "tail": {"shape": 0.0, "scale": 0.01}}])
    found = {before, decision_digest(store, THRESHOLDS, 0.02), decision_digest(store, other, 0.01)}
    enrol(store, 1)
    found.add(decision_digest(store, THRESHOLDS, 0.01))
    store.update_identity(1, name="new")
    found.add(decision_digest(store, THRESHOLDS, 0.01))
    assert len(found) == 5


def test_a_track_is_decided_from_the_vector_that_was_decided_first(store: Store) -> None:
    """What is stored as float16 is what was searched, so the same list and rate give the same score to the last bit."""
    shots = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    track = as_track("t", ())
    made = Aggregate()._one(EmbeddedTrack(track, None, shots, np.array([0.9, 0.5, 0.4], np.float32)))
    assert made.embedding is not None
    assert np.array_equal(np.frombuffer(made.embedding.astype(np.float16).tobytes(), np.float16), made.embedding)
