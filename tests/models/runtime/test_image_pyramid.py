import numpy as np

from models.runtime.image_pyramid import Halvings


def test_halvings_are_averages_and_are_made_once() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    halved = Halvings(picture)
    assert halved.at(0) is picture
    expected = picture.reshape(2, 2, 3, 2, 3).astype(float).mean((1, 3))
    assert np.abs(halved.at(1) - expected).max() <= 0.5
    assert halved.at(1) is halved.at(1)


def test_an_odd_edge_is_left_out_and_no_side_vanishes() -> None:
    picture = np.zeros((5, 1, 3), np.uint8)
    picture[4] = 255
    halved = Halvings(picture)
    assert [halved.at(times).shape for times in range(4)] == [(5, 1, 3), (2, 1, 3), (1, 1, 3), (1, 1, 3)]
    assert halved.at(3).max() == 0
