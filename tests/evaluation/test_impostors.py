import numpy as np
import pytest

from evaluation.impostors import chances

PEOPLE = np.arange(400).astype(str)


@pytest.mark.parametrize(("kinship", "low", "high"), [(0.0, 0.97, 1.03), (0.5, 0.3, 0.9)])
def test_strangers_who_look_like_one_look_like_others(kinship: float, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    alone, shared = rng.standard_normal((2000, 400)), rng.standard_normal((2000, 1))
    scores = ((1 - kinship) * alone + kinship * shared).astype(np.float32)
    assert low < chances(scores, np.ones(scores.shape, bool), PEOPLE, rng) < high


def test_only_photos_that_count_make_up_a_gallery() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((2000, 400)).astype(np.float32)
    different = np.tile(rng.random(400) < 0.4, (2000, 1))
    different[1000:] = rng.random(400) < 0.02  # half of the strangers can be set against a few only
    assert 0.97 < chances(scores, different, PEOPLE, rng) < 1.03


def test_a_person_is_in_a_gallery_once() -> None:
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.standard_normal((2000, 80)), 5, axis=1).astype(np.float32)  # five photos each, one like the other
    assert 0.95 < chances(scores, np.ones(scores.shape, bool), np.repeat(np.arange(80), 5).astype(str), rng) < 1.05
