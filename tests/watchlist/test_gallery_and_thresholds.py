import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import genpareto

from models import recognizer_card
from watchlist import gallery as module
from watchlist.database import StoreError
from watchlist.gallery import Gallery
from watchlist.store import Store
from watchlist.thresholds import Thresholds

TAIL = {"shape": -0.1, "scale": 0.05}
BINS = [
    {"face_px": 16.0, "log10_fmr": [-1, -2, -3], "scores": [0.4, 0.5, 0.6], "tail": TAIL},
    {"face_px": 1e9, "log10_fmr": [-1, -2, -3], "scores": [0.2, 0.3, 0.4], "tail": TAIL},
]


RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((60, 32)).astype(np.float32)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Twenty-five people with two photos each."""
    found = Store(tmp_path / "w.db")
    for n in range(50):
        enrol(found, n)
    return found


def enrol(store: Store, number: int, recognizer: str = "r") -> None:
    store.add_enrolment(store.add_identity(f"p{number // 2}"), "", str(number), b"", VECTORS[number], recognizer, 0.9, 50.0)


def agrees(gallery: Gallery, store: Store) -> bool:
    """With NumPy over what the database says is looked for."""
    people = store.enrolments()
    probes = np.random.default_rng(1).standard_normal((20, 32)).astype(np.float32)
    scores = probes @ np.stack([p.vector for p in people]).T
    pairs = zip(gallery.nearest(probes), scores, strict=True)
    return len(gallery) == len(people) and all(
        found is not None
        and (found.identity, found.name) == (people[int(row.argmax())].identity, people[int(row.argmax())].name)
        and math.isclose(found.score, row.max(), rel_tol=2e-3)
        for found, row in pairs
    )


@pytest.mark.parametrize("float32_up_to", [1000, 51])
def test_search_agrees_with_numpy_after_every_change(store: Store, monkeypatch: pytest.MonkeyPatch, float32_up_to: int) -> None:
    monkeypatch.setattr(module, "MAX_FLOAT32_PHOTOS", float32_up_to)
    gallery = Gallery(store, "r")
    steps = [
        lambda: None,
        lambda: enrol(store, 50),
        lambda: [enrol(store, n) for n in (51, 52, 53)],  # here it may outgrow float32
        lambda: store.remove_identity(3),
        lambda: store.set_enabled(5, False),
        lambda: store.set_enabled(7, False, 13),
        lambda: store.set_enabled(5, True),
        lambda: store.update_identity(9, name="new"),
        lambda: store.update_identity(10, expires="2001-01-01"),
        lambda: store.put_embeddings({1: (VECTORS[59], 0.9)}, "r"),
        lambda: [store.remove_identity(person.id) for person in store.identities()[1:]],
    ]
    for number, step in enumerate(steps):
        step()
        gallery.update()
        assert agrees(gallery, store), number
    store.remove_identity(1)
    gallery.update()
    assert len(gallery) == 0 and gallery.nearest(VECTORS[:2]) == [None, None]


def test_ids_stay_right_over_deletion_restart_and_addition(store: Store) -> None:
    store.remove_identity(25)
    store.close()
    again = Store(store.path)
    enrol(again, 54)
    found = Gallery(again, "r").nearest(VECTORS[54:55])[0]
    assert found is not None and (found.identity, found.name) == (26, "p27")


def test_a_list_that_was_made_anew_with_the_same_ids_is_followed(store: Store, tmp_path: Path) -> None:
    gallery = Gallery(store, "r")
    other = Store(tmp_path / "anew.db")
    for n in reversed(range(50)):
        enrol(other, n)
    store.copy_watchlist(other)
    gallery.update()
    assert agrees(gallery, store)


def test_a_failure_half_way_is_made_good_by_the_next_look(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = Gallery(store, "r")
    store.remove_identity(3)
    enrol(store, 50)
    with monkeypatch.context() as broken, pytest.raises(OSError, match="disk"):
        broken.setattr(store, "photo_embeddings", lambda rows: (_ for _ in ()).throw(OSError("disk")))
        gallery.update()
    gallery.update()
    assert agrees(gallery, store)


def test_vectors_of_another_recogniser_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="another recogniser"):
        Gallery(store, "other")


@pytest.mark.parametrize(
    ("fpir", "people", "face_px", "cosine"),
    [
        (0.1, 1, 40, 0.2),  # one comparison at the rate asked for
        (0.01, 1, 40, 0.3),
        (0.01, 1, 12, 0.5),  # small faces look more alike
        (0.01, 10, 40, 0.4),  # ten chances to err: each may err a tenth as often
        (0.01, 100, 40, 0.503),  # beyond what was measured, as the tail's distribution says: 0.4 + 0.05 (10 ** -0.1 - 1) / -0.1
    ],
)
def test_thresholds_follow_rate_list_and_size(fpir: float, people: int, face_px: float, cosine: float) -> None:
    assert math.isclose(Thresholds(BINS).cosine(fpir, people, face_px), cosine, abs_tol=0.002)


def test_the_shipped_thresholds_are_usable() -> None:
    thresholds = Thresholds(recognizer_card()["impostors"])
    for face_px in (12, 18, 40, 90):
        found = [thresholds.cosine(rate, 100, face_px) for rate in (0.1, 0.01, 0.001)]
        assert 0 < found[0] < found[1] < found[2] <= 1


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.15])
def test_a_fitted_tail_foretells_rarer_scores(shape: float) -> None:
    """Thresholds from a thousandth of the sample are exceeded at a hundred times rarer rates as often as they should be."""
    draws = genpareto.rvs(shape, loc=0.3, scale=0.05, size=2_000_000, random_state=0)
    fitted_shape, _, scale = genpareto.fit(draws[:20_000] - 0.3, floc=0)
    tail = {"shape": fitted_shape, "scale": scale}
    thresholds = Thresholds([{"face_px": 1e9, "log10_fmr": [-1, -2], "scores": [0.2, 0.3], "tail": tail}])
    for rarer in (10, 100, 1000):  # than the hundredth that 0.3 stands for
        limit = thresholds.cosine(0.01 / rarer, 1, 40)
        assert 0.5 / rarer < (draws > limit).mean() < 2 / rarer
