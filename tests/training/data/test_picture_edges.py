"""Chips that reach beyond their source picture."""

import numpy as np
import pytest

from training.data.picture_edges import cover_outside, inside, load_edges

CORNERS = np.array([[-10, 40], [138, 40], [138, 140], [-10, 140]], np.float32)  # the picture begins at row 40


def stripes() -> np.ndarray:
    chip = np.full((128, 128, 3), 90, np.uint8)
    chip[::2, :40] = 255
    return chip


def test_without_corners_the_whole_chip_is_inside_and_stays_as_it_is():
    chip, none = stripes(), np.zeros((4, 2), np.float32)
    assert inside(none, 128).all()
    assert cover_outside(chip, none, np.random.default_rng(0)) is chip


def test_pixels_outside_the_source_picture_are_told_apart():
    mask = inside(CORNERS, 128)
    assert not mask[:39].any()
    assert mask[41:].all()


@pytest.mark.parametrize("seed", range(12))
def test_nothing_of_the_strip_outside_is_left_and_the_picture_is_untouched(seed):
    chip = stripes()
    chip[:40] = (255, 0, 0)  # what no picture shows
    covered = cover_outside(chip, CORNERS, np.random.default_rng(seed))
    red = (covered[:38].astype(int) - (255, 0, 0)).__abs__().sum(-1) < 30
    assert red.mean() < 0.01
    np.testing.assert_array_equal(covered[45:], chip[45:])


def test_covers_differ_from_chip_to_chip():
    tops = {cover_outside(stripes(), CORNERS, np.random.default_rng(seed))[:20].tobytes() for seed in range(12)}
    assert len(tops) >= 4


def test_a_data_folder_without_edges_has_chips_that_are_covered_whole(tmp_path):
    assert not load_edges(tmp_path, 3).any()


def test_edges_are_read_in_chip_pixels(tmp_path):
    np.savez(tmp_path / "edges.npz", half_pixels=np.round(CORNERS * 2).astype(np.int16)[None])
    np.testing.assert_array_equal(load_edges(tmp_path, 1)[0], CORNERS)
