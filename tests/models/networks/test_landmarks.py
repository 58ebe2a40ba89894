import cv2
import numpy as np
import pytest
import torch

from models.chip import TEMPLATE, warp_chip
from models.networks.landmarks import SIDE, LandmarkNet, LandmarkRefiner, crop_and_halve, landmark_view, to_units

CPU = torch.device("cpu")


def test_an_untrained_network_returns_the_template() -> None:
    told = LandmarkNet().eval()(torch.zeros(2, 3, SIDE, SIDE)).detach().numpy()
    assert told[1] == pytest.approx(to_units(TEMPLATE), abs=1e-5)


@pytest.mark.parametrize("side", [16, 32, 64, 128])
def test_the_input_is_the_middle_of_the_chip(side: int) -> None:
    chip = np.zeros((side, side, 3), np.uint8)
    chip[:, side // 2 :] = 255
    seen = landmark_view(chip)
    assert seen.shape == (SIDE, SIDE, 3)
    assert seen[SIDE // 2, : SIDE // 2 - 2].max() < 60 and seen[SIDE // 2, SIDE // 2 + 2 :].min() > 195


def test_misplaced_landmarks_come_nearer(chips: np.ndarray) -> None:
    refiner, rng = LandmarkRefiner(CPU), np.random.default_rng(0)
    before, after = [], []
    for chip in chips:
        frame = np.full((300, 400, 3), 90, np.uint8)
        frame[100:228, 150:278] = chip
        true = refiner.refine(frame, (TEMPLATE + (150, 100))[None])  # where it sees them from the right place
        for _ in range(5):
            off = true + rng.normal(0, 5, (1, 1, 2)).astype(np.float32)
            before.append(np.linalg.norm(off - true, axis=2).mean())
            after.append(np.linalg.norm(refiner.refine(frame, off) - true, axis=2).mean())
    assert np.mean(after) < 0.4 * np.mean(before)


def test_degenerate_faces_keep_their_landmarks(chips: np.ndarray) -> None:
    refiner = LandmarkRefiner(CPU)
    odd = np.stack([np.zeros((5, 2)), np.full((5, 2), np.nan), TEMPLATE + 5000]).astype(np.float32)
    found = refiner.refine(chips[0], odd)
    assert found[:2] == pytest.approx(odd[:2], nan_ok=True) and np.isfinite(found[2]).all()
    assert refiner.refine(chips[0], odd[:0]).shape == (0, 5, 2)


def test_a_large_face_is_halved_before_it_is_cut(chips: np.ndarray) -> None:
    frame = np.full((1200, 1400, 3), 90, np.uint8)
    frame[200:968, 300:1068] = cv2.resize(chips[0], (768, 768), interpolation=cv2.INTER_CUBIC)
    points = (TEMPLATE * 6 + (302.5, 202.5)).astype(np.float32)
    part, moved = crop_and_halve(frame, points)
    assert part.shape[0] < 400 and max(part.shape[:2]) > 100
    straight, quick = (landmark_view(warp_chip(*given)).astype(int) for given in ((frame, points), (part, moved)))
    assert np.abs(straight - quick).mean() < 2
    assert crop_and_halve(frame, points / 6)[0] is frame
