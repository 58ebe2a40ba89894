"""The arithmetic of open-set identification, on tracks made up for it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from evaluation.walkers import CONCURRENT, PAUSE_S, WALK_S, ObservedTrack, schedule_walkers
from evaluation.watchlist import Margins, draw_watchlist, evaluate, fnir, margins, pooled_margins
from synthetic.corridor import Truth, Walker
from watchlist.thresholds import Thresholds

PEOPLE = np.eye(5, 4, dtype=np.float32)
LIST = np.array([0, 1, 2])


def track(walker: int, *vector: float) -> ObservedTrack:
    return ObservedTrack(walker, np.array(vector, np.float32), 20.0 + walker)


def found(walkers: list[int], tracks: list[ObservedTrack]) -> Margins:
    scores = np.stack([t.embedding for t in tracks if t.embedding is not None]) @ PEOPLE.T
    return margins(walkers, tracks, scores, LIST, [0.5] * len(tracks))


def test_margins_take_the_best_track_and_know_who_came_first() -> None:
    tracks = [
        track(0, 0.7, 0.1, 0, 0),
        track(0, 0.9, 0.1, 0, 0),
        track(1, 0.8, 0.2, 0, 0),  # beaten by somebody else's photo
        track(2, 0, 0.1, 0, 1.0),  # a stranger whose own photo is not on the list
        track(4, 1.0, 0, 0, 0),  # on the list with the photo they walk with
    ]
    got = found([0, 1, 3, 4, -1], tracks)
    assert got.mate == pytest.approx([0.4, -np.inf]) and got.face_px == pytest.approx([20, 21])
    assert got.impostor == pytest.approx([-0.4, -np.inf])


def test_the_margins_of_several_lists_are_pooled() -> None:
    one, two = (Margins(np.array([k]), np.array([20.0 + k]), np.array([-k, -k])) for k in (1.0, 2.0))
    pooled = pooled_margins([one, two])
    assert (pooled.mate.tolist(), pooled.face_px.tolist()) == ([1.0, 2.0], [21.0, 22.0])
    assert pooled.impostor.tolist() == [-1.0, -1.0, -2.0, -2.0]


def test_fnir_moves_thresholds_to_the_measured_rate() -> None:
    strangers = [track(k, 0, 0, s, 0) for k, s in enumerate((0.9, 0.3, 0.2, 0.1))]
    mates = [track(4, 0.95, 0, 0, 0), track(5, 0, 0.5, 0, 0), track(6, 0, 0, 0.25, 0)]
    got = found([3, 3, 3, 3, 0, 1, 2], [*strangers, *mates])
    assert fnir(got, 0.0) == pytest.approx(2 / 3)  # only one is surer than the worst stranger
    assert fnir(got, 0.25) == pytest.approx(1 / 3)  # one of four strangers may raise an alarm
    assert fnir(got, 0.25, got.face_px < 26) == fnir(got, 0.5) == 0.0


def test_lists_are_half_of_people_who_walk_while_there_are_enough() -> None:
    known, rng = np.arange(50, 80), np.random.default_rng(0)
    for size, walk in ((10, 5), (100, 30)):
        people = draw_watchlist(known, 400, size, rng)
        assert len(set(people)) == size and np.isin(people, known).sum() == walk


def test_everybody_walks_once_and_not_too_many_at_a_time() -> None:
    walkers, seconds = schedule_walkers([f"p{k}" for k in range(20)], np.random.default_rng(0))
    assert {w.name for w in walkers} == {f"p{k}" for k in range(20)} and seconds == walkers[-1].end_s
    for now in np.arange(0, seconds, 0.5):
        assert sum(w.start_s <= now < w.end_s for w in walkers) <= CONCURRENT
    assert all(w.end_s - w.start_s == pytest.approx(WALK_S) for w in walkers)
    for first, then in combinations(walkers, 2):  # nobody turns into somebody else
        assert abs(first.lane - then.lane) > 0.2 or then.start_s - first.end_s > PAUSE_S - 1e-9


def test_the_rates_of_all_lists_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """With twelve people who look alike to nobody, nobody is missed and no stranger raises an alarm."""
    monkeypatch.setattr("evaluation.watchlist.WATCHLIST_SIZES", (4, 6))
    names, vectors = np.array([f"p{k:02}" for k in range(12)]), np.eye(12, dtype=np.float32)
    walkers = [Walker(str(name), k, False, 0.0, 5.0, 0.0, 1.0, 0.0) for k, name in enumerate(names)]
    seen = [ObservedTrack(k, vectors[k], 15.0 + 3 * k, 3) for k in range(12)]
    pairs = [{"face_px": 1e9, "log10_fmr": [-1, -2], "scores": [0.3, 0.4], "tail": {"shape": -0.1, "scale": 0.05}}]
    truth, known = [Truth(w, []) for w in walkers], [str(n) for n in names[:5]]
    found = evaluate(names, vectors, truth, seen, known, Thresholds(pairs), np.random.default_rng(0))
    assert found["known"] == 5 and found["strangers"] == 7 and set(found["galleries"]) == {"4", "6"}
    for row in found["galleries"].values():
        assert all((a["measured"], a["fnir"]) == (0.0, 0.0) and a["error"] > 0 for a in row["asked"])
        assert row["rank_one_missed"] == 0.0
