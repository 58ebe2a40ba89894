"""A user's own calibration counts people, and gives the rate that was asked for in their footage."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from watchlist.calibration import MIN_STRANGERS, fit_to_footage, group_people
from watchlist.highest_scores import HighestScores
from watchlist.store import Store
from watchlist.thresholds import LISTS, RATES, Thresholds

RNG = np.random.default_rng(0)
LIST = 40


def scores(strangers: int, people: int = LIST, shift: float = 0.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (shift + 0.1 * rng.standard_normal((strangers, people))).astype(np.float32)


def card() -> list[dict]:
    measured = HighestScores(scores(500, 500))
    return [
        {"face_px": list(width), "shots": n, "people": 500, "lists": LISTS, "rates": RATES, "cosines": measured.table().tolist()}
        for width in ((10, 20), (20, 80))
        for n in (1, 3)
    ]


CARD = card()


def fitted(highest: np.ndarray, face_px: float = 40.0, person: np.ndarray | None = None) -> tuple:
    count = len(highest)
    return fit_to_footage(
        CARD,
        highest,
        np.full(count, face_px, np.float32),
        np.full(count, 3, np.intp),
        np.arange(count) if person is None else person,
        LIST,
    )


def test_fitted_thresholds_give_the_rate_asked_for() -> None:
    bins, fits = fitted(scores(200, shift=0.08, seed=1).max(1))
    assert [fit.strangers for fit in fits] == [0, 200] and fits[0].kept and not fits[1].kept
    thresholds, before = Thresholds(bins), Thresholds(CARD)
    highest = scores(20_000, shift=0.08, seed=2).max(1)
    for asked in (0.1, 0.01):
        assert asked / 2 < (highest >= thresholds.cosine(asked, LIST, 40.0, 3)).mean() < 2 * asked
        assert (highest >= before.cosine(asked, LIST, 40.0, 3)).mean() > 3 * asked
    assert thresholds.cosine(0.01, LIST, 12.0, 3) == before.cosine(0.01, LIST, 12.0, 3)  # nobody was seen so small


def test_ten_tracks_of_one_person_are_one_stranger() -> None:
    highest = np.repeat(scores(MIN_STRANGERS - 1, shift=0.2, seed=3).max(1), 10)
    _, fits = fitted(highest, person=np.repeat(np.arange(MIN_STRANGERS - 1), 10))
    assert fits[1].strangers == MIN_STRANGERS - 1 and "strangers are needed" in fits[1].kept


def test_footage_that_agrees_with_the_card_changes_nothing() -> None:
    bins, fits = fitted(scores(60, seed=4).max(1))
    new, old = Thresholds(bins), Thresholds(CARD)
    assert "by chance" in fits[1].kept and new.cosine(0.01, LIST, 40.0, 3) == old.cosine(0.01, LIST, 40.0, 3)


def test_the_user_reads_how_many_strangers_a_width_rests_on_and_what_changed() -> None:
    _, fits = fitted(scores(120, shift=0.08, seed=5).max(1))
    assert "0 strangers: the card is kept, 30 strangers are needed" in fits[0].text()
    assert "120 strangers, whose highest scores lie 0.0" in fits[1].text() and "above" in fits[1].text()
    assert fits[1].text().endswith("the thresholds follow them")


def test_tracks_that_are_alike_are_one_person() -> None:
    people = RNG.standard_normal((5, 64))
    tracks = np.repeat(people, 10, 0) + 0.4 * RNG.standard_normal((50, 64))
    vectors = (tracks / np.linalg.norm(tracks, axis=1, keepdims=True)).astype(np.float32)
    found = group_people(vectors, np.full(50, 30, np.float32), Thresholds(CARD))
    assert len(set(found.tolist())) == 5 and all(len(set(found[10 * k : 10 * k + 10].tolist())) == 1 for k in range(5))
    assert group_people(vectors[:1], np.full(1, 30, np.float32), Thresholds(CARD)).tolist() == [0]


def test_a_calibration_is_kept_copied_and_noticed(tmp_path: Path) -> None:
    store, copy = Store(tmp_path / "a.db"), Store(tmp_path / "b.db")
    before = store.list_version()
    kept = [{**entry, "lists": list(LISTS), "rates": list(RATES)} for entry in CARD]
    store.put_calibration("r", kept, 7)
    assert store.calibration("r") == kept and store.calibration("other") is None and store.list_version() != before
    copy.copy_watchlist(store)
    assert copy.calibration("r") == kept
    store.put_calibration("r", None)
    copy.copy_watchlist(store)
    assert copy.calibration("r") is None
