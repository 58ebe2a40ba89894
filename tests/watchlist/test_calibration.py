"""Thresholds fitted to footage give the rate that was asked for in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from watchlist.calibration import fit_impostor_scores
from watchlist.store import Store
from watchlist.thresholds import Thresholds

CARD = [
    {"face_px": 20.0, "log10_fmr": [-0.5, -1.0, -2.0], "scores": [0.5, 0.6, 0.7], "tail": {"shape": -0.1, "scale": 0.05}},
    {"face_px": 1e9, "log10_fmr": [-0.5, -1.0, -2.0], "scores": [0.4, 0.5, 0.6], "tail": {"shape": -0.1, "scale": 0.05}},
]
RNG = np.random.default_rng(0)


def test_fitted_thresholds_give_the_rate_asked_for() -> None:
    scores = RNG.normal(0.1, 0.1, (3000, 40)).astype(np.float32)
    face_px = np.concatenate([np.full(2995, 40.0), np.full(5, 15.0)]).astype(np.float32)
    bins, counts = fit_impostor_scores(CARD, scores[:1500], face_px[:1500])
    assert counts == [0, 60_000] and bins[0] == CARD[0]
    thresholds = Thresholds(bins)
    for asked in (0.1, 0.01):
        measured = (scores[1500:].max(1) >= thresholds.cosine(asked, 40, 40.0)).mean()
        assert asked / 3 < measured < 3 * asked


def test_with_few_comparisons_the_cards_tail_is_kept_behind_the_new_scores() -> None:
    scores = RNG.normal(0.1, 0.1, (150, 10)).astype(np.float32)
    bins, counts = fit_impostor_scores(CARD, scores, np.full(150, 15.0, np.float32))
    assert counts == [1500, 0] and bins[0]["tail"] == CARD[0]["tail"] and bins[0]["scores"][-1] < 0.4
    assert bins[1] == CARD[1]


def test_a_calibration_is_kept_copied_and_noticed(tmp_path: Path) -> None:
    store, copy = Store(tmp_path / "a.db"), Store(tmp_path / "b.db")
    before = store.list_version()
    store.put_calibration("r", CARD, 7)
    assert store.calibration("r") == CARD and store.calibration("other") is None and store.list_version() != before
    copy.copy_watchlist(store)
    assert copy.calibration("r") == CARD
    store.put_calibration("r", None)
    copy.copy_watchlist(store)
    assert copy.calibration("r") is None
