"""How many false alarms a day a camera's own traffic makes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.stages.test_annotate import PATH, row
from watchlist import traffic
from watchlist.store import Store
from watchlist.traffic import CameraTraffic


def passes(store: Store, source: str, outcome: str, at: float, count: int) -> None:
    for number in range(count):
        store.put_tracks([row(PATH, outcome) | {"source": source, "track": f"{outcome}{at}-{number}", "started_at": at}])


def test_the_false_alarms_of_a_day_follow_from_the_people_who_pass_a_camera(tmp_path: Path) -> None:
    now, store = time.time(), Store(tmp_path / "f.db")
    passes(store, "gate", "no_match", now - 1800, 90)
    passes(store, "gate", "match", now - 1800, 10)
    passes(store, "gate", "not_assessable", now - 1800, 50)  # never matched
    passes(store, "gate", "no_match", now - 9000, 500)  # before it was watched
    found = CameraTraffic(store, 0.01, now - 3600).false_alarms_a_day(["gate", "hall"])
    assert found == pytest.approx({"gate": 24.0, "hall": 0.0}, rel=1e-2)  # one in an hour
    assert CameraTraffic(store, 0.01, now - 10).false_alarms_a_day(["gate"]) == {}  # too early to tell


def test_a_database_that_is_busy_leaves_the_figures_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now, store = time.time(), Store(tmp_path / "f.db")
    passes(store, "gate", "no_match", now - 100, 5)
    monkeypatch.setattr(traffic, "EVERY_S", 0.0)
    cameras = CameraTraffic(store, 0.01, now - 86_400)
    before = cameras.false_alarms_a_day(["gate"])
    store.close()
    assert cameras.false_alarms_a_day(["gate"]) == before == pytest.approx({"gate": 0.05})
