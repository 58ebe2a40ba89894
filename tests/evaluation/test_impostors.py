"""Thresholds of every face width rest on everybody, and members of a family are no strangers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from evaluation import visits as module
from evaluation.impostors import BINS, Strangers, strangers_of, tables_by_width
from evaluation.visits import SHOTS, WIDTHS, People, Visits, film_everybody
from watchlist.thresholds import LISTS, RATES


def strangers(count: int, seed: int) -> Strangers:
    """Small faces look more alike: 0.1 more at 10 pixels than at 80, and wider apart."""
    rng = np.random.default_rng(seed)
    face_px = np.exp(rng.uniform(*np.log(WIDTHS), count))
    small = np.log(80 / face_px) / np.log(8)
    scores = 0.1 * small[:, None] + (0.08 + 0.03 * small[:, None]) * rng.standard_normal((count, 500))
    return Strangers(
        scores.astype(np.float32), np.ones(scores.shape, bool), face_px.astype(np.float32), np.arange(count), np.arange(count)
    )


def test_the_rate_asked_for_comes_at_every_width() -> None:
    (tables, error), others = tables_by_width(strangers(700, 0)), strangers(20_000, 1)
    assert 0 < error < 0.02
    for (low, high), table in zip(BINS, tables, strict=True):
        inside = (others.face_px >= low) & (others.face_px < high)
        for size in (10, 100):
            highest = others.scores[inside, :size].max(1)
            for asked in (0.1, 0.01):
                share = (highest >= table[LISTS.index(size), RATES.index(asked)]).mean()
                assert asked / 2 < share < 2 * asked, (low, size, asked)


def people(count: int, photos: int) -> People:
    rng = np.random.default_rng(0)
    chips = rng.integers(0, 255, (count * photos, 128, 128, 3), np.uint8)
    return People(chips, np.repeat(np.arange(count), photos), np.arange(count) // 2, np.zeros(count, bool))


def test_only_people_of_two_families_are_strangers() -> None:
    vectors = np.eye(8, dtype=np.float32)
    filming = SimpleNamespace(people=people(4, 2), photos=vectors)
    filmed = Visits(np.repeat(vectors[::2, None], SHOTS, 1), np.ones((4, SHOTS), np.float32), np.full(4, 20, np.float32))
    everybody = np.ones(4, bool)
    found = strangers_of(filming, [filmed, filmed], 3, everybody, everybody)
    assert found.scores.shape == (8, 8) and found.scores[1, 2] == 1
    assert found.strange[0].tolist() == [False] * 4 + [True] * 4 and found.person.tolist() == [0, 1, 2, 3] * 2
    children = strangers_of(filming, [filmed], 3, np.array([False, True, False, True]), np.array([True, False, False, False]))
    assert children.person.tolist() == [1, 3] and children.strange.tolist() == [[False, False], [True, True]]


def test_nobody_is_filmed_with_the_photo_they_are_enrolled_with(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    group, seen = people(6, 3), []
    monkeypatch.setattr(module, "film_visit", lambda chips, width, rng: seen.append(chips))
    _, widths = film_everybody(group, np.random.default_rng(0))
    enrolled = {group.chips[3 * n].tobytes() for n in range(6)}
    assert len(seen) == 6 and not any(chip.tobytes() in enrolled for chips in seen for chip in chips)
    assert {len(chips) for chips in seen} == {1, 2} and (WIDTHS[0] <= widths).all() and (widths <= WIDTHS[1]).all()


def test_a_visit_is_shots_of_one_camera_from_large_to_small() -> None:
    shots = module.film_visit(list(people(1, 2).chips), 40.0, np.random.default_rng(0))
    assert len(shots) == SHOTS and [len(chip) for chip in shots] == sorted((len(chip) for chip in shots), reverse=True)
    assert all(chip.dtype == np.uint8 and chip.shape[2] == 3 for chip in shots)
