import numpy as np
import pytest

from models.chip import TEMPLATE, check_chips, eye_distance, level_for_landmarks, similarity, warp_chip


def test_similarity_finds_a_known_turn_scale_and_shift() -> None:
    angle, scale = 0.3, 1.7
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(TEMPLATE, TEMPLATE @ turn.T + (5, -3))
    assert np.allclose(matrix, np.hstack([turn, [[5], [-3]]]), atol=1e-4)


def test_the_warp_puts_the_landmarks_on_the_template(chips: np.ndarray) -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[100:228, 150:278] = chips[0]
    chip = warp_chip(picture, TEMPLATE + (150, 100), 128)
    assert np.abs(chip[4:-4, 4:-4].astype(int) - chips[0][4:-4, 4:-4]).mean() < 1


@pytest.mark.parametrize(("scale", "level"), [(0.1, 16), (0.2, 32), (0.4, 64), (0.55, 64), (0.7, 128), (3.0, 128)])
def test_the_lowest_level_that_loses_nothing(scale: float, level: int) -> None:
    assert level_for_landmarks(TEMPLATE * scale) == level
    assert np.isclose(eye_distance(TEMPLATE * scale), scale * 35.24, atol=0.02)


def test_a_large_face_is_averaged_not_skipped_over() -> None:
    picture = np.indices((1280, 1280)).sum(0) % 2 * 255  # a checkerboard of single pixels
    chip = warp_chip(np.repeat(picture[..., None], 3, 2).astype(np.uint8), TEMPLATE * 8)
    assert abs(float(chip.mean()) - 127.5) < 3 and float(chip.std()) < 20


@pytest.mark.parametrize("landmarks", [np.zeros((5, 2)), np.full((5, 2), np.nan)])
def test_coinciding_or_nan_landmarks_are_refused(landmarks: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite, distinct"):
        warp_chip(np.zeros((9, 9, 3), np.uint8), landmarks)


@pytest.mark.parametrize(
    "chips",
    [
        np.zeros((0, 32, 32, 3), np.uint8),  # empty
        np.zeros((1, 32, 32, 3), np.float32),  # not bytes
        np.zeros((1, 32, 32), np.uint8),  # no colours
        np.zeros((1, 32, 16, 3), np.uint8),  # not square
        np.zeros((1, 40, 40, 3), np.uint8),  # not a level
    ],
)
def test_wrong_chips_are_refused_with_their_shape(chips: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"chips must be uint8 .* got "):
        check_chips(chips)
