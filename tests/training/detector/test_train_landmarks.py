import numpy as np
import pytest
import torch

from models.chip import TEMPLATE
from tests.faces68 import landmarks68
from training.data.priors import five_of
from training.detector import train_landmarks
from training.detector.train_landmarks import misplaced


def test_five_landmarks_are_computed_from_sixty_eight() -> None:
    points = five_of(landmarks68()[None])[0]
    assert points.shape == (5, 2) and np.abs(points - TEMPLATE).max() < 15
    assert points[0, 0] < points[2, 0] < points[1, 0] and points[0, 1] < points[2, 1] < points[3, 1]


def test_landmarks_move_with_the_picture() -> None:
    chip = np.zeros((128, 128, 3), np.uint8)
    chip[58:62, 44:48] = 255
    for seed in range(5):
        moved, points = misplaced(chip, np.array([[45.5, 59.5]], np.float32), np.random.default_rng(seed))
        assert np.argwhere(moved[..., 0] > 100).mean(0)[::-1] == pytest.approx(points[0], abs=1.0)


def test_a_run_from_pool_to_weights(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(train_landmarks, "AT_ONCE", 10)
    monkeypatch.setitem(train_landmarks.PRESETS["cpu"], "pool", 30)
    out = run(train_landmarks, "landmarks")
    assert np.load(out / "pool.npz")["views"].shape == (30, 48, 48, 3)
    assert torch.load(out / "state.pt", weights_only=True)["network"] == "LandmarkNet"
