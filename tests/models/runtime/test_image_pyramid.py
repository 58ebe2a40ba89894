import numpy as np

from models.runtime.image_pyramid import ImagePyramid


def test_levels_are_2x2_averages_computed_once() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    pyramid = ImagePyramid(picture)
    assert pyramid.level(0) is picture
    expected = picture.reshape(2, 2, 3, 2, 3).astype(float).mean((1, 3))
    assert np.abs(pyramid.level(1) - expected).max() <= 0.5
    assert pyramid.level(1) is pyramid.level(1)


def test_an_odd_edge_is_left_out_and_no_side_falls_below_one_pixel() -> None:
    picture = np.zeros((5, 1, 3), np.uint8)
    picture[4] = 255
    pyramid = ImagePyramid(picture)
    assert [pyramid.level(times).shape for times in range(4)] == [(5, 1, 3), (2, 1, 3), (1, 1, 3), (1, 1, 3)]
    assert pyramid.level(3).max() == 0
