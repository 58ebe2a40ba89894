"""Looks at a live track: which shots count, and what all decisions together bring."""

from __future__ import annotations

import numpy as np

from evaluation import looks as module
from evaluation.looks import BEST, FIRST, alarms, best_margins, ever_best, film_stay


def stays(people: int, shots: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((people, shots, 16)).astype(np.float32)
    return {
        "shots": vectors / np.linalg.norm(vectors, axis=2, keepdims=True),
        "quality": np.ones((people, shots), np.float32),
        "widths": np.full((people, shots), 30, np.float32),
        "ranks": rng.random((people, shots)).astype(np.float32),
    }


def test_shots_that_are_never_among_the_best_change_no_decision() -> None:
    full, photos, looks = stays(6, 40), np.eye(16, dtype=np.float32), range(FIRST, 41)
    kept = np.stack([ever_best(ranks) for ranks in full["ranks"]])
    part = full | {"shots": full["shots"] * kept[..., None], "quality": full["quality"] * kept}
    assert kept.sum(1).min() >= BEST and kept.sum(1).max() < 35
    assert np.array_equal(*(best_margins(some, photos, lambda width, shots: 0.4, looks) for some in (full, part)))
    falling = ever_best(np.linspace(1, 0, 40).astype(np.float32))
    assert falling.tolist() == [True] * BEST + [False] * 35
    assert ever_best(np.linspace(0, 1, 40).astype(np.float32)).all()


def test_every_look_is_decided_on_the_best_five_shots_so_far() -> None:
    some, photos = stays(6, 20), np.eye(16, dtype=np.float32)
    expected = np.full((6, 16), -np.inf)
    for shots in range(FIRST, 21):
        for row in range(6):
            best = np.argsort(-some["ranks"][row, :shots])[:BEST]
            template = some["shots"][row, best].mean(0)
            margin = template / np.linalg.norm(template) @ photos.T - 0.1 * len(best)
            expected[row] = np.maximum(expected[row], margin)
    found = best_margins(some, photos, lambda width, shots: 0.1 * shots, range(FIRST, 21))
    assert np.allclose(found, expected, atol=2e-3)


def test_more_looks_bring_more_false_alarms_at_the_same_threshold() -> None:
    several, photos, strange = stays(60, 40), np.eye(16, dtype=np.float32), np.ones((60, 16), bool)
    once, often = (
        alarms(best_margins(several, photos, lambda width, shots: 0.6, looks), strange, 10).mean()
        for looks in (range(40, 41), range(FIRST, 41))
    )
    assert 0 < once < often


def test_a_stay_lasts_a_minute_and_its_face_grows_or_keeps_its_size(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "SHOTS", 12)
    chip = np.random.default_rng(0).integers(0, 255, (128, 128, 3), np.uint8)
    seen = [film_stay(chip, np.random.default_rng(seed)) for seed in range(8)]
    assert all(len(shots) == len(widths) == len(ranks) == 12 for shots, widths, ranks in seen)
    growing = [widths[-1] > widths[0] + 1 for _, widths, _ in seen]
    assert any(growing) and not all(growing)
    assert all(np.ptp(widths) < 1e-6 for (_, widths, _), grows in zip(seen, growing, strict=True) if not grows)
