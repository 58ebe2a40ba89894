"""Turned heads: the solid behind landmarks, and a painted one that shows more of its side."""

import numpy as np
import pytest

from training.data.pose_augmentation import HeadModel, mean_shape_3d


def head() -> np.ndarray:
    """68 points on an ellipsoid with a nose: right, down, towards the camera."""
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.6, 0.6, (68, 3))
    angle = np.linspace(-np.pi / 2, np.pi / 2, 17)
    points[:17, 0], points[:17, 1] = 0.75 * np.sin(angle), -0.4 + 1.15 * np.cos(angle)
    points[17:27, 0], points[17:27, 1] = np.linspace(-0.6, 0.6, 10), -0.6
    points[27:31, 0], points[27:31, 1] = 0, np.linspace(-0.4, 0.1, 4)
    points[[36, 45], 0], points[[36, 45], 1] = (-0.5, 0.5), -0.35
    points[:, 2] = 0.8 * np.sqrt(np.maximum(0, 1 - (points[:, 0] / 0.8) ** 2 - ((points[:, 1] + 0.1) / 1.2) ** 2))
    points[30, 2] += 0.25
    return points - points.mean(0)


def seen(points: np.ndarray, yaw: float, pitch: float = 0.0, roll: float = 0.0, scale: float = 35.0) -> np.ndarray:
    """Landmarks (68, 2) of a head turned by so many degrees, in the middle of a chip."""
    (a, b, c), rotation = np.radians([yaw, pitch, roll]), np.eye(3)
    rotation = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]) @ rotation
    rotation = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]) @ rotation
    rotation = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]) @ rotation
    return (scale * points @ rotation.T)[:, :2] + 64


def test_the_solid_behind_landmarks_is_found() -> None:
    rng, points = np.random.default_rng(1), head()
    pictures = [seen(points, *rng.normal(0, (20, 12, 8)), scale=rng.uniform(20, 50)) for _ in range(200)]  # type: ignore[misc]
    found = mean_shape_3d(np.stack(pictures) + rng.normal(0, 0.2, (200, 68, 2)))
    truth = points / np.linalg.norm(points[45] - points[36])
    apart = [np.linalg.norm(shape[:, None] - shape[None], axis=2) for shape in (found, truth)]
    assert np.abs(apart[0] - apart[1]).max() < 0.1
    assert found[30, 2] > found[[0, 16], 2].max()


@pytest.mark.parametrize("yaw", [-35, -10, 0, 20, 50])
def test_a_heads_yaw_is_told(yaw: float) -> None:
    assert np.degrees(HeadModel(head()).yaw(seen(head(), yaw, 5, 8))) == pytest.approx(yaw, abs=3)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_turned_face_shows_less_of_its_far_half(side: int) -> None:
    heads, points = HeadModel(head()), seen(head(), 0)
    chip = np.full((128, 128, 3), 20, np.uint8)
    chip[20:108, 36:64], chip[20:108, 64:92] = (200, 40, 40), (40, 200, 40)  # red on the left, green on the right
    assert np.abs(heads.rotate(chip, points, 0.0)[30:110, 30:98].astype(int) - chip[30:110, 30:98]).mean() < 8
    turned = heads.rotate(chip, points, side * np.radians(50))
    near, far = ((turned[..., c] > 120)[50:90].sum() for c in ((0, 1) if side > 0 else (1, 0)))
    assert turned.shape == (128, 128, 3) and near > 1.5 * far
