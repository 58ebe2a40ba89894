"""The rate that was asked for comes, for lists of every length, though one stranger's scores hang together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import genpareto

from watchlist.highest_scores import HighestScores, fit_tail, resampled
from watchlist.thresholds import LISTS, RATES

RNG = np.random.default_rng(0)
PEOPLE = 900


def cosines(strangers: int, people: int, rng: np.random.Generator) -> np.ndarray:
    """Some strangers look like many people, others like none."""
    likeness, spread = rng.normal(0, 0.05, (strangers, 1)), rng.uniform(0.08, 0.13, (strangers, 1))
    return (likeness + spread * rng.standard_normal((strangers, people))).astype(np.float32)


@pytest.fixture(scope="module")
def measured() -> HighestScores:
    return HighestScores(cosines(PEOPLE, PEOPLE, RNG), ~np.eye(PEOPLE, dtype=bool))


@pytest.mark.parametrize("list_size", [1, 10, 100, 3000])
@pytest.mark.parametrize("asked", [0.1, 0.01])
def test_new_strangers_raise_as_many_false_alarms_as_asked_for(measured: HighestScores, list_size: int, asked: float) -> None:
    highest = np.concatenate([cosines(1000, list_size, RNG).max(1) for _ in range(12)])  # the last list is beyond what was seen
    share = float((highest >= measured.cosine(asked, list_size)).mean())
    off = (1.4 if asked == 0.1 else 2.0) * (1.0 if list_size < PEOPLE else 1.3)  # the rarer, the less so many people tell
    assert asked / off < share < off * asked


def test_independent_pairs_would_ask_for_too_much_of_a_long_list(measured: HighestScores) -> None:
    """Ten alarms in a thousand over 300 people are not one in thirty thousand pairs: few strangers raise most of them."""
    pairs = measured.cosine(1 - (1 - 0.1) ** (1 / 300), 1)
    assert pairs > measured.cosine(0.1, 300) + 0.008


def test_the_table_grows_with_the_list_and_with_rarity(measured: HighestScores) -> None:
    table = measured.table()
    assert table.shape == (len(LISTS), len(RATES))
    assert (np.diff(table, axis=0) > 0).all() and (np.diff(table, axis=1) > 0).all() and table.max() < 1.2


def test_members_of_one_family_are_left_out() -> None:
    family = np.repeat(np.arange(100), 2)
    scores = cosines(200, 200, np.random.default_rng(1))
    alike = family[:, None] == family
    with_family = np.where(alike, 0.9, scores).astype(np.float32)
    assert HighestScores(with_family, ~alike).cosine(0.01, 100) == pytest.approx(HighestScores(scores, ~alike).cosine(0.01, 100))
    assert HighestScores(with_family).cosine(0.01, 100) > 0.8


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.15])
def test_a_fitted_tail_foretells_rarer_scores(shape: float) -> None:
    draws = genpareto.rvs(shape, scale=0.05, size=2_000_000, random_state=0)
    tail = fit_tail(draws[:20_000])
    for rarer in (10, 100, 1000):
        limit = np.quantile(draws, 1 - 1 / rarer)
        assert 0.5 / rarer < tail.exceeded(np.array([limit]))[0] < 2 / rarer


def test_a_bootstrap_draws_whole_families() -> None:
    family = np.array([0, 0, 1, 2, 2, 2])
    rows = resampled(family, np.random.default_rng(3))
    counts = np.bincount(rows, minlength=6)
    assert counts[0] == counts[1] and counts[3] == counts[4] == counts[5] and len(rows) >= 3


def test_the_rate_is_the_mean_over_strangers_of_their_own_rates() -> None:
    scores = np.random.default_rng(3).standard_normal((40, 300)) * 0.1
    highest = HighestScores(scores)
    for cosine, size in ((0.12, 10), (0.311, 100)):
        own = highest.alarms(cosine, size)
        assert own.shape == (40,) and (own >= 0).all() and (own <= 1).all()
        assert abs(own.mean() - np.interp(cosine, highest.cosines, highest.rates(size))) < 1e-9
    assert highest.alarms(5.0, 100).max() < 1e-6
