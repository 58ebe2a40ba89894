import math
from pathlib import Path

import numpy as np
import pytest

from models import recognizer_card
from watchlist import gallery as module
from watchlist.database import StoreError
from watchlist.gallery import Gallery, list_length
from watchlist.store import Store
from watchlist.thresholds import Thresholds

TAIL = {"shape": -0.1, "scale": 0.05}
PAIRS = [  # as cards of earlier versions have it
    {"face_px": 16.0, "log10_fmr": [-1, -2, -3], "scores": [0.4, 0.5, 0.6], "tail": TAIL},
    {"face_px": 1e9, "log10_fmr": [-1, -2, -3], "scores": [0.2, 0.3, 0.4], "tail": TAIL},
]


def entry(face_px: tuple[float, float], shots: int, base: float) -> dict:
    """Cosines that grow by 0.1 with ten times the people, and by 0.1 with a tenth of the rate."""
    rows = [[base + 0.1 * n + 0.1 * k for k in range(3)] for n in range(4)]
    rates = [1 - math.exp(-(10.0**-k)) for k in (1, 2, 3)]
    return {
        "face_px": list(face_px), "shots": shots, "people": 900, "lists": [1, 10, 100, 1000], "rates": rates, "cosines": rows,
        "looks": 10.0,
    }  # fmt: skip


CARD = [entry(width, shots, base - 0.01 * shots) for width, base in (((10, 14.4), 0.3), ((40, 57.6), 0.2)) for shots in (1, 5)]


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


def test_a_second_photo_of_a_person_counts_less_than_another_person(store: Store) -> None:
    gallery = Gallery(store, "r")
    assert 25 < gallery.list_size < 50 == len(gallery)
    assert list_length(np.array([1, 2, 3])) == 3 and list_length(np.array([1, 1, 1])) < 3


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
def test_cards_of_earlier_versions_are_read(fpir: float, people: int, face_px: float, cosine: float) -> None:
    assert math.isclose(Thresholds(PAIRS).cosine(fpir, people, face_px), cosine, abs_tol=0.002)


RATE = 1 - math.exp(-0.01)


@pytest.mark.parametrize(
    ("fpir", "people", "face_px", "shots", "cosine"),
    [
        (RATE, 1, 12, 1, 0.39),
        (RATE, 100, 12, 1, 0.59),  # more people on the list
        (1 - math.exp(-0.0001), 100, 12, 1, 0.79),  # a rarer alarm, beyond what was measured
        (RATE, 10_000, 12, 1, 0.79),  # a longer list than was measured
        (RATE, 1, 24, 1, 0.34),  # halfway between 12 and 48 pixels in the logarithm
        (RATE, 1, 5, 1, 0.39),  # smaller than anybody who was measured
        (RATE, 1, 12, 3, 0.37),  # between one shot and five
        (RATE, 1, 12, 9, 0.35),
    ],
)
def test_thresholds_follow_rate_list_width_and_shots(fpir: float, people: int, face_px: float, shots: int, cosine: float) -> None:
    assert math.isclose(Thresholds(CARD).cosine(fpir, people, face_px, shots), cosine, abs_tol=1e-3)


def test_a_live_track_that_is_looked_at_again_and_again_needs_more_at_each_look() -> None:
    thresholds = Thresholds(CARD)
    tenth = thresholds.cosine(RATE / 10, 10, 12)
    assert math.isclose(thresholds.cosine(RATE, 10, 12, live=True), tenth) and tenth > thresholds.cosine(RATE, 10, 12) + 0.09
    assert thresholds.people(12) == 900


def test_the_shipped_thresholds_are_usable() -> None:
    thresholds = Thresholds(recognizer_card()["impostors"])
    for face_px in (12, 18, 40, 90):
        found = [thresholds.cosine(rate, 100, face_px) for rate in (0.1, 0.01, 0.001)]
        assert 0 < found[0] < found[1] < found[2] <= 1
