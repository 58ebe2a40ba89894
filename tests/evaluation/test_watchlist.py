"""The arithmetic of open-set identification, on tracks made up for it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from evaluation.watchlist import AT_ONCE, PAUSE_S, WALK_S, Seen, cast, fnir, margins
from watchlist.thresholds import Thresholds

FLAT = Thresholds([{"face_px": 1e9, "log10_fmr": [-1, -2], "scores": [0.5, 0.5], "tail": {"shape": 0.0, "scale": 1e-9}}])
GALLERY = np.eye(4, dtype=np.float32)[:3]


def track(walker: int, *vector: float) -> Seen:
    return Seen(walker, np.array(vector, np.float32) if vector else None, 20.0)


def test_margins_take_the_best_track_and_know_who_came_first() -> None:
    seen = [
        track(0, 0.7, 0.1, 0, 0),
        track(0, 0.9, 0.1, 0, 0),
        track(1, 0.8, 0.2, 0, 0),  # beaten by somebody else's photo
        track(2, 0, 0, 0, 1.0),  # a stranger who looks like nobody
        track(3),  # not assessable
    ]
    found = margins(4, seen, GALLERY, [0, 1, None, 2], FLAT, 0.01)
    assert found.mate == pytest.approx([0.4, -np.inf, -np.inf, -np.inf])
    assert found.alarm == pytest.approx([0.4, 0.3, -0.5, -np.inf])


def test_fnir_moves_thresholds_to_the_measured_rate() -> None:
    strangers = [track(k, 0, 0, s, 0) for k, s in enumerate((0.9, 0.3, 0.2, 0.1))]
    mates = [track(4, 0.95, 0, 0, 0), track(5, 0.5, 0, 0, 0), track(6, 0.25, 0, 0, 0)]
    found = margins(7, [*strangers, *mates], GALLERY, [None] * 4 + [0] * 3, FLAT, 0.01)
    known = np.arange(7) >= 4
    assert fnir(found, known, ~known, 0.0) == pytest.approx(2 / 3)  # only one is surer than the worst stranger
    assert fnir(found, known, ~known, 0.25) == pytest.approx(1 / 3)  # one of four strangers may raise an alarm
    assert fnir(found, known, ~known, 0.5) == 0.0


def test_everybody_walks_once_and_not_too_many_at_a_time() -> None:
    walkers, seconds = cast([f"p{k}" for k in range(20)], np.random.default_rng(0))
    assert {w.name for w in walkers} == {f"p{k}" for k in range(20)} and seconds == walkers[-1].end_s
    for now in np.arange(0, seconds, 0.5):
        assert sum(w.start_s <= now < w.end_s for w in walkers) <= AT_ONCE
    assert all(w.end_s - w.start_s == pytest.approx(WALK_S) for w in walkers)
    for first, then in combinations(walkers, 2):  # nobody turns into somebody else
        assert abs(first.lane - then.lane) > 0.2 or then.start_s - first.end_s > PAUSE_S - 1e-9
