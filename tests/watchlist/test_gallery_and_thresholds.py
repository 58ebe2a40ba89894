import math

import numpy as np
import pytest

from models import recognizer_card
from watchlist.database import StoreError
from watchlist.gallery import Gallery
from watchlist.people import Enrolment
from watchlist.thresholds import Thresholds

BINS = [
    {"face_px": 16.0, "log10_fmr": [-1, -2, -3], "scores": [0.4, 0.5, 0.6]},
    {"face_px": 1e9, "log10_fmr": [-1, -2, -3], "scores": [0.2, 0.3, 0.4]},
]


def enrolments(count: int) -> list[Enrolment]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [Enrolment(i + 1, i // 2 + 1, f"p{i // 2}", "", b"", v, "r", 0.9, 50.0) for i, v in enumerate(vectors)]


def test_search_agrees_with_numpy() -> None:
    people = enrolments(50)
    probes = np.random.default_rng(1).standard_normal((20, 32)).astype(np.float32)
    scores = probes @ np.stack([p.vector for p in people]).T
    for found, row in zip(Gallery(people, "r").nearest(probes), scores, strict=True):
        assert found is not None and found.identity == people[int(row.argmax())].identity
        assert math.isclose(found.score, row.max(), rel_tol=1e-5)


def test_an_empty_gallery_knows_nobody() -> None:
    assert Gallery([], "r").nearest(np.ones((2, 32), np.float32)) == [None, None]


def test_vectors_of_another_recogniser_are_refused() -> None:
    with pytest.raises(StoreError, match="another recogniser"):
        Gallery(enrolments(2), "other")


@pytest.mark.parametrize(
    ("fpir", "people", "face_px", "cosine"),
    [
        (0.1, 1, 40, 0.2),  # one comparison at the rate asked for
        (0.01, 1, 40, 0.3),
        (0.01, 1, 12, 0.5),  # small faces look more alike
        (0.01, 10, 40, 0.4),  # ten chances to err: each may err a tenth as often
        (0.01, 100, 40, 0.5),  # beyond what was measured, along the last slope
    ],
)
def test_thresholds_follow_rate_list_and_size(fpir: float, people: int, face_px: float, cosine: float) -> None:
    assert math.isclose(Thresholds(BINS).cosine(fpir, people, face_px), cosine, abs_tol=0.002)


def test_the_shipped_thresholds_are_usable() -> None:
    thresholds = Thresholds(recognizer_card()["impostors"])
    for face_px in (12, 18, 40, 90):
        found = [thresholds.cosine(rate, 100, face_px) for rate in (0.1, 0.01, 0.001)]
        assert 0 < found[0] < found[1] < found[2] <= 1
