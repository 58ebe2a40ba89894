"""Static tracks in the database: counted, shown last, and found by whoever is enrolled later."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from console.report import render_report
from tests.stages.test_annotate import PATH, row
from tests.watchlist.test_decision import THRESHOLDS, VECTORS, enrol, outcomes
from watchlist.decision import redecide_tracks
from watchlist.search_back import TrackHit
from watchlist.store import Store
from watchlist.tracks import TrackFilter


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Four tracks that matched nobody: of a person, a thing, a thing of poor quality, and somebody from behind."""
    store = Store(tmp_path / "farsight.db")
    tracks = {
        "person": ("no_match", []),
        "thing": ("not_assessable", ["static", "blurred: 3"]),
        "poor": ("not_assessable", ["low_quality: 0.05", "static"]),
        "behind": ("not_assessable", ["no_usable_shot", "extreme_pose: 4"]),
    }
    for number, (name, (outcome, reasons)) in enumerate(tracks.items()):
        vector = None if name == "behind" else (0.8 * VECTORS[number] + 0.6 * VECTORS[3]).astype(np.float16).tobytes()
        own = {"track": f"{name}-0001", "template": vector, "recognizer": "r", "name": None, "reasons": json.dumps(reasons)}
        store.put_tracks([row(PATH, outcome) | own])
    return store


def test_somebody_enrolled_later_is_found_in_a_static_track(store: Store) -> None:
    for number in (1, 2):
        enrol(store, number)
    assert redecide_tracks(store, "r", THRESHOLDS, 0.01) == 1
    found = {track["track"]: track["outcome"] for track in store.tracks()}
    assert found == {
        "behind-0001": "not_assessable",
        "person-0001": "no_match",
        "poor-0001": "not_assessable",
        "thing-0001": "match",
    }
    assert store.static_count() == 1
    redecide_tracks(store, "r", THRESHOLDS, 0.001)  # a stricter rate: no match any more, and static again
    assert ("match", "p1") not in outcomes(store) and store.static_count() == 2


def test_search_back_finds_a_person_in_a_static_track(store: Store) -> None:
    tracks = {track["track"]: track for track in store.tracks()}
    found = [TrackHit(tracks[f"{name}-0001"], score, 0.5, 0.01).outcome for name in ("thing", "poor") for score in (0.9, 0.4)]
    assert found == ["match", "not_assessable", "not_assessable", "not_assessable"]


def test_the_report_shows_static_tracks_last_and_counts_all(store: Store, tmp_path: Path) -> None:
    page = render_report(store, tmp_path)
    titles = re.findall("<h2>(.*?)</h2>", page)
    assert titles[-1] == "Static" and titles.index("Not assessable") == len(titles) - 2
    last = page.split("<h2>Static</h2>")[1]
    assert "thing-0001" in last and "poor-0001" in last and "behind-0001" not in last and "person-0001" not in last
    assert page.count('id="cam/thing-0001"') == 1 and "more tracks of this outcome" not in page
    assert "<b>3</b>not assessable" in page


def test_static_tracks_are_selected_and_not_offered_for_review(store: Store) -> None:
    assert {track["track"] for track in store.page(TrackFilter(static=True), 9)} == {"thing-0001", "poor-0001"}
    assert {track["track"] for track in store.page(TrackFilter(static=False), 9)} == {"person-0001", "behind-0001"}
    cropped = [track | {"crop": "crops/x.png", "face_px": 60.0} for track in store.tracks()]
    store.put_tracks([track | {key: json.dumps(track[key]) for key in ("reasons", "best_box")} for track in cropped])
    assert [track["track"] for track in store.worth_a_look()] == ["behind-0001"]
