import numpy as np
import pytest

from evaluation.impostors import chances


@pytest.mark.parametrize(("kinship", "low", "high"), [(0.0, 0.97, 1.03), (0.5, 0.3, 0.9)])
def test_strangers_who_look_like_one_look_like_others(kinship: float, low: float, high: float) -> None:
    rng = np.random.default_rng(0)
    alone, shared = rng.standard_normal((2000, 400)), rng.standard_normal((2000, 1))
    scores = ((1 - kinship) * alone + kinship * shared).astype(np.float32)
    assert low < chances(scores, np.ones(scores.shape, bool), rng) < high
