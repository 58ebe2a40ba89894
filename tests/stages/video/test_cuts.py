"""Cuts: another scene begins every face anew; people, light and noise do not."""

import cv2
import numpy as np
import pytest

from models.faces import Faces
from stages.records import DetectedFrame, Frame
from stages.track import Track
from stages.video.cuts import CutDetector


def scene(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(20, 200, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 12, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def crowded(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[100:, 40:140] = 30
    return image


@pytest.mark.parametrize(
    ("second", "cut"),
    [
        (scene(2), True),
        (noisy(scene(1), 0), False),
        (crowded(scene(1)), False),
        ((scene(1) * 0.5).astype(np.uint8), False),
        (np.roll(scene(1), 8, 1), False),
        (np.zeros((240, 320, 3), np.uint8), False),
    ],
    ids=["another scene", "noise", "somebody steps in", "lights down", "a nudge", "covered"],
)
def test_cuts_are_told_from_motion_and_light(second: np.ndarray, cut: bool) -> None:
    detector = CutDetector()
    assert not detector(scene(1))
    assert detector(second) is cut


def test_a_fade_through_black_is_a_cut_and_a_covered_camera_is_none() -> None:
    black = np.zeros((240, 320, 3), np.uint8)
    for after, cut in ((scene(2), True), (scene(1), False)):
        detector = CutDetector()
        assert [detector(image) for image in (scene(1), black, after)] == [False, False, cut]


def test_noise_in_the_dark_is_no_cut() -> None:
    detector, dark = CutDetector(), np.full((240, 320, 3), 12, np.uint8)
    assert not any(detector(noisy(dark, k)) for k in range(5))


def numbers(images: list[np.ndarray]) -> list[int]:
    """The track of a face that stays where it is while the picture behind it changes."""
    face = Faces(np.float32([[100, 80, 140, 130]]), np.zeros((1, 5, 2), np.float32), np.float32([0.9]))
    track = Track()
    track.open()
    found = []
    for k, image in enumerate(images):
        (seen,) = track.process([DetectedFrame(Frame("cam", k, k / 5, image), face)])
        found.append(int(seen.tracks[0]))
        track.restore(track.state())
    return found


def test_a_face_at_the_same_place_after_a_cut_is_another() -> None:
    found = [n for n in numbers([scene(1)] * 4 + [scene(2)] * 4) if n >= 0]
    assert len(set(found)) == 2 and sorted(found) == found
    assert len({n for n in numbers([noisy(scene(1), k) for k in range(8)]) if n >= 0}) == 1
