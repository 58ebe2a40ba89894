"""Each step is held to the one of `training.common.degradations` and `training.recognizer.inputs` that takes a single chip."""

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from models.networks.facegen import FaceGenerator, Look
from training.common import batched_degradations as batched
from training.common import degradations
from training.data.priors import mirror_landmarks
from training.recognizer.inputs import recognizer_view


@pytest.fixture(scope="module")
def faces(generator: FaceGenerator) -> list[np.ndarray]:
    return [generator.render(generator.identity(person), Look())[0] for person in range(3)]


SIDES = torch.tensor([11, 24, 77])


def tensor(faces: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float()


def pictures(found: Tensor) -> list[np.ndarray]:
    return [picture.permute(1, 2, 0).numpy() for picture in found]


def look(n: int, **fields: float) -> batched.CameraParameters:
    usual = {"blur": 1.0, "noise": 0.0, "quality": 95.0, "gain": 1.0, "gamma": 1.0, "step": 0.0} | fields
    return batched.CameraParameters(**{name: torch.full((n,), value) for name, value in usual.items()})


def away(found: Tensor, wanted: list[np.ndarray]) -> float:
    """The largest mean difference in grey levels of any picture."""
    pairs = zip(pictures(found), wanted, strict=True)
    return max(float(np.abs(f[: len(w), : len(w)] - w.astype(float)).mean()) for f, w in pairs)


@pytest.mark.parametrize("kind", ["area", "bicubic"])
def test_pictures_shrink_each_to_its_own_side(faces: list[np.ndarray], kind: str) -> None:
    rng = np.random.default_rng(0)
    wanted = [degradations.PRESETS[kind](face, int(side), rng) for face, side in zip(faces, SIDES, strict=True)]
    found = batched.shrink(tensor(faces), SIDES, kind)
    assert away(found, wanted) < 0.5
    assert torch.equal(found[0, :, 10, 10], found[0, :, 127, 127])  # the last pixel, repeated


def test_small_pictures_are_enlarged_and_viewed_as_one_by_one(faces: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    small = [degradations.area(face, int(side), rng) for face, side in zip(faces, SIDES, strict=True)]
    canvas = batched.shrink(tensor(faces), SIDES, "area")
    assert away(batched.enlarge(canvas, SIDES, 32), [cv2.resize(s, (32, 32), interpolation=cv2.INTER_CUBIC) for s in small]) < 0.7
    assert away(batched.recognizer_view(canvas, SIDES, 64), [recognizer_view(s, 64) for s in small]) < 0.7


def test_a_camera_does_what_it_does_to_one_chip(faces: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    given = {"blur": 1.4, "gain": 0.8, "gamma": 1.2}
    wanted = [
        degradations._camera(face, int(side), rng, noise=0.0, quality=95, **given)
        for face, side in zip(faces, SIDES, strict=True)
    ]
    assert away(batched.apply_camera(tensor(faces), SIDES, look(3, **given), torch.Generator()), wanted) < 2.0
    noisy = batched.apply_camera(tensor(faces), SIDES, look(3, noise=8.0), torch.Generator())
    assert 4.0 < away(noisy, [degradations._camera(f, int(s), rng, blur=1.0, noise=0.0, quality=95, gain=1.0, gamma=1.0)
                              for f, s in zip(faces, SIDES, strict=True)]) < 9.0  # fmt: skip


@pytest.mark.parametrize("quality", [35, 60, 90])
def test_jpeg_is_opencvs(faces: list[np.ndarray], quality: int) -> None:
    n = len(faces)
    found = batched.compress(tensor(faces), torch.full((n,), float(quality)), torch.zeros(n))
    wanted = [degradations.jpeg(face, quality) for face in faces]
    lost = float(np.mean([np.abs(face - w.astype(float)).mean() for face, w in zip(faces, wanted, strict=True)]))
    assert away(found, wanted) < 0.5 * lost  # nearer to OpenCV's JPEG than that is to the picture


def test_a_video_coder_loses_more_with_larger_steps(faces: list[np.ndarray]) -> None:
    lost = [
        away(batched.compress(tensor(faces), torch.full((3,), 90.0), torch.full((3,), step)), faces)
        for step in (2.0, 8.0, 20.0, 45.0)
    ]
    assert lost == sorted(lost) and lost[1] < 3 < lost[3]


def test_chips_and_their_landmarks_move_alike(faces: list[np.ndarray]) -> None:
    matrix = degradations.jitter_matrix(1.5, np.random.default_rng(3))
    matrices = torch.from_numpy(matrix).float().expand(3, 2, 3)
    flags, border = cv2.INTER_CUBIC, cv2.BORDER_REPLICATE
    wanted = [cv2.warpAffine(face, matrix, (128, 128), flags=flags, borderMode=border) for face in faces]
    assert away(batched.warp(tensor(faces), matrices).clamp(0, 255), wanted) < 0.7
    dot = torch.zeros(1, 1, 128, 128)
    dot[0, 0, 40, 80] = 1.0
    there = batched.warp_points(torch.tensor([[[80.5, 40.5]]]), matrices[:1])[0, 0]
    y, x = divmod(int(batched.warp(dot, matrices[:1]).argmax()), 128)
    assert torch.allclose(there, torch.tensor([x + 0.5, y + 0.5]), atol=0.6)
    assert not batched.warp_points(torch.zeros(3, 68, 2), matrices).any()  # of faces without landmarks


def test_landmarks_err_as_far_as_one_by_one() -> None:
    rng, points = np.random.default_rng(0), np.array([[46.0, 60.0], [80.0, 100.0]])
    drawn = np.stack([degradations.jitter_matrix(1.0, rng) for _ in range(400)])
    ours = batched.jitter_matrices(torch.ones(400), torch.Generator().manual_seed(0)).numpy()
    spreads = [(points @ m[:, :, :2].transpose(0, 2, 1) + m[:, None, :, 2] - points).std(0) for m in (drawn, ours)]
    assert np.allclose(*spreads, rtol=0.15)


def test_drawn_cameras_are_those_of_the_presets() -> None:
    drawn = batched.CameraParameters.sample(2000, torch.Generator().manual_seed(0), video_share=0.25)
    assert drawn.blur.min() >= 0.3 and drawn.blur.max() <= 2.0 and abs(float((drawn.step > 0).float().mean()) - 0.25) < 0.04
    assert torch.equal(drawn.quality, drawn.quality.floor()) and drawn.quality.min() >= 35 and drawn.quality.max() <= 91
    even = batched.CameraParameters.sample(5, torch.Generator().manual_seed(0), even_exposure=True)
    assert (even.gain == 1).all() and (even.gamma == 1).all() and (even.step == 0).all()


def test_light_changes_each_colour_by_itself() -> None:
    grey = torch.full((4, 3, 8, 8), 100.0)
    found = batched.relight(grey, 0.85, 1.1, torch.Generator().manual_seed(0))
    assert found.min() >= 85 and found.max() <= 110 and len(found[:, :, 0, 0].unique()) > 6


def test_mirrored_landmarks_of_none_stay_none() -> None:
    assert not mirror_landmarks(torch.zeros(2, 68, 2)).any()
