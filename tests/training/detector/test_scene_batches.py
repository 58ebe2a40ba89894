"""Batches of the detector's pictures: which cell answers for which face, and labels that stay on their faces."""

import numpy as np
import pytest
import torch

from models.networks.detector import STRIDES
from training.data.scenes import SURE, Scene
from training.detector.scene_batches import SIZES, SceneBatches, assign
from training.detector.scene_maker import LEAST_WIDTH

SIDE = 128


def maps_of(*boxes: tuple[float, ...], scores: tuple[float, ...] | None = None) -> list[np.ndarray]:
    told = torch.tensor([scores or [0.9] * len(boxes)])
    return [found[0].numpy() for found in assign(torch.tensor([boxes], dtype=torch.float32), told, SIDE)]


def one_by_one(boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    """The same face after face, the widest first."""
    maps, widths, centres = [], boxes[:, 2] - boxes[:, 0], boxes.reshape(-1, 2, 2).mean(1)
    for stride, (low, high) in zip(STRIDES, SIZES, strict=True):
        grid = np.arange(SIDE // stride) * stride + (stride - 1) / 2
        owner = np.full((len(grid), len(grid)), -1)
        for i in np.argsort(-widths):
            if scores[i] < 0:
                continue
            window = np.ix_(*(np.abs(grid - centres[i, axis]) <= stride for axis in (1, 0)))
            unsure = scores[i] < SURE or widths[i] < LEAST_WIDTH
            if not unsure and low <= widths[i] < high:
                owner[window] = i
                continue
            owner[window] = np.where(owner[window] == -1, -2, owner[window])
            if unsure:
                inside = np.ix_(*((grid >= boxes[i, axis]) & (grid <= boxes[i, axis + 2]) for axis in (1, 0)))
                owner[inside] = np.where(owner[inside] == -1, -2, owner[inside])
        maps.append(owner)
    return maps


def test_a_small_face_belongs_to_the_finest_stride() -> None:
    fine, middle, coarse = maps_of((50, 50, 62, 66))
    assert (fine == 0).sum() >= 4 and not (middle == 0).any() and not (coarse == 0).any()
    assert (middle == -2).any()  # where it would lie on a coarser grid counts as neither
    rows, columns = np.nonzero(fine == 0)
    assert np.abs(columns * 4 + 1.5 - 56).max() <= 4 and np.abs(rows * 4 + 1.5 - 58).max() <= 4


def test_what_the_teacher_doubts_is_ignored_not_background() -> None:
    for maps in (maps_of((50, 50, 62, 66), scores=(0.3,)), maps_of((50, 50, 53, 54))):
        assert not any((m >= 0).any() for m in maps) and (maps[0] == -2).any()


def test_all_faces_at_once_get_the_cells_they_get_one_by_one() -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(-10, SIDE - 10, (6, 12, 2))
    boxes = np.concatenate([corners, corners + np.exp(rng.uniform(1.2, 4.5, (6, 12, 1))) * (1, 1.2)], -1).astype(np.float32)
    scores = rng.choice([0.9, 0.9, 0.9, 0.3, -1.0], (6, 12)).astype(np.float32)
    found = assign(torch.from_numpy(boxes), torch.from_numpy(scores), SIDE)
    for number in range(6):
        for batched, alone in zip(found, one_by_one(boxes[number], scores[number]), strict=True):
            assert np.array_equal(batched[number].numpy(), np.where(alone >= 0, alone + 12 * number, alone))


def faced(box: tuple[int, int, int, int]) -> Scene:
    """A black picture whose face is a white rectangle, with its right half grey."""
    image = np.zeros((96, 96, 3), np.uint8)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2], image[y1:y2, (x1 + x2) // 2 : x2] = 255, 120
    marks = np.array([[(x1, y1), (x2, y1), ((x1 + x2) / 2, (y1 + y2) / 2), (x1, y2), (x2, y2)]], np.float32)
    return Scene(image, np.array([box], np.float32), marks, np.array([0.9], np.float32))


def test_labels_lie_on_their_faces_in_every_window(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, still in (("NOISY", 0.0), ("GREY", 0.0), ("GAIN", (1.0, 1.0)), ("OFFSET", (0.0, 0.0)), ("COLOUR", 0.0)):
        monkeypatch.setattr(f"training.detector.scene_batches.{name}", still)
    pool = [faced((40, 36, 56, 60)), faced((50, 30, 70, 54))]
    batches = SceneBatches(np.stack([s.image for s in pool]), pool, "cpu", window=64)
    batch = batches.draw(np.random.default_rng(0), 40)
    assert batch.x.shape == (40, 3, 64, 64) and {o.shape for o in batch.owners} == {(40, 64 // s, 64 // s) for s in STRIDES}
    mirrored = 0
    for picture, box, marks in zip(batch.x[:, 0].numpy(), batch.boxes.numpy(), batch.landmarks.numpy(), strict=True):
        rows, columns = np.nonzero(picture > -0.9)
        assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == np.clip(box, 0, 64).tolist()
        assert marks[0, 0] < marks[1, 0] and np.allclose(marks[[0, 4]].ravel(), box)
        mirrored += picture[rows[0], columns.min()] < picture[rows[0], columns.max()]
    assert 8 < mirrored < 32


def test_a_face_that_the_window_halves_is_ignored_and_one_beyond_it_is_none() -> None:
    pool = [faced((0, 36, 20, 60))]
    batches = SceneBatches(pool[0].image[None], pool, "cpu", window=64)
    seen = batches._seen(
        torch.zeros(3, dtype=torch.long), torch.tensor([[0, 0], [12, 0], [30, 0]]), torch.zeros(3, dtype=torch.bool)
    )
    assert seen[2][:, 0] == pytest.approx([0.9, 0.3, -1])


def test_a_training_step_draws_the_same_batch_again() -> None:
    pool = [faced((40, 36, 56, 60))]
    batches = SceneBatches(pool[0].image[None], pool, "cpu", window=64)
    first, again = (batches.draw(np.random.default_rng(5), 4).x for _ in range(2))
    assert torch.equal(first, again) and float(first.abs().max()) <= 1
