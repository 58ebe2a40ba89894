"""What cameras do to the detector's training pictures."""

import numpy as np
import pytest

from training.common import camera_looks
from training.common.camera_looks import apply_camera, motion_kernel

NOISE = np.random.default_rng(1).standard_normal(64 * 64 * 3 * 2, np.float32)
SHARES = ("BLURRED", "MOVED", "SOFT", "SHARPENED", "INTERLACED", "INFRA_RED", "GREY", "DAZZLED", "NOISY", "JPEG", "CODED")


def picture() -> np.ndarray:
    rows, columns = np.mgrid[:64, :64]
    return np.stack([np.where((columns // 4) % 2, 220, 40), rows * 3, columns * 3], -1).astype(np.uint8)


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in SHARES:
        monkeypatch.setattr(camera_looks, name, 1.0 if name in names else 0.0)


@pytest.mark.parametrize("name", SHARES)
def test_each_look_changes_a_picture_and_keeps_its_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    plain = apply_camera(picture(), NOISE, np.random.default_rng(0))
    only(monkeypatch, name)
    seen = apply_camera(picture(), NOISE, np.random.default_rng(0))
    assert seen.shape == (64, 64, 3) and seen.dtype == np.uint8
    assert np.abs(seen.astype(int) - plain).mean() > 1


def test_the_same_numbers_give_the_same_picture() -> None:
    one, other = (apply_camera(picture(), NOISE, np.random.default_rng(5)) for _ in range(2))
    assert (one == other).all()


def test_infra_red_pictures_are_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, "INFRA_RED")
    seen = apply_camera(picture(), NOISE, np.random.default_rng(2)).astype(int)
    assert np.ptp(seen, axis=2).max() <= 1


def test_interlaced_pictures_are_of_two_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    plain = apply_camera(picture(), NOISE, np.random.default_rng(3))
    only(monkeypatch, "INTERLACED")
    seen = apply_camera(picture(), NOISE, np.random.default_rng(3))
    assert (seen[::2] == plain[::2]).all() and (seen[1::2] != plain[1::2]).any()


@pytest.mark.parametrize(("angle", "axis"), [(0.0, 0), (np.pi / 2, 1)])
def test_movement_smears_along_its_way_and_keeps_the_light(angle: float, axis: int) -> None:
    kernel = motion_kernel(4.0, angle)
    assert kernel.sum() == pytest.approx(1) and (kernel.sum(axis) > 0).sum() == 5 and (kernel.sum(1 - axis) > 0).sum() == 1
