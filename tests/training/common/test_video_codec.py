import cv2
import numpy as np
import pytest

from training.common.video_codec import WIDTH, film_chips, h264_last_frame, shelf_pack


@pytest.mark.parametrize("seed", range(3))
def test_faces_come_back_from_the_clip_where_they_were(chips: np.ndarray, seed: int) -> None:
    sides = [13, 18, 30, 60, 100]
    shots = film_chips(list(chips[:5]), sides, np.random.default_rng(seed))
    assert [s.shape for s in shots] == [(r, r, 3) for r in (16, 32, 32, 64, 128)]
    for chip, shot in zip(chips, shots, strict=False):
        side = shot.shape[0]
        whole = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA).astype(float)

        def alike(x: int, y: int, shot: np.ndarray = shot, whole: np.ndarray = whole) -> float:
            inner = np.s_[4:-4, 4:-4]
            return float(np.corrcoef(np.roll(shot, (y, x), (0, 1))[inner].ravel(), whole[inner].ravel())[0, 1])

        assert alike(0, 0) > 0.8
        assert alike(0, 0) == max(alike(x, y) for x in (-2, 0, 2) for y in (-2, 0, 2))  # in its place


def test_a_stingier_codec_leaves_less(chips: np.ndarray) -> None:
    clip = np.stack([np.roll(chips[0], step, 1) for step in range(3)])
    errors = [float(np.abs(h264_last_frame(clip, crf).astype(int) - clip[-1]).mean()) for crf in (15, 30, 45)]
    assert errors[0] < errors[1] < errors[2]


def test_tiles_do_not_overlap() -> None:
    tiles = [int(t) for t in np.random.default_rng(0).integers(17, 134, 40)]
    places, height = shelf_pack(tiles)
    taken = np.zeros((height, WIDTH), int)
    for tile, (x, y) in zip(tiles, places, strict=True):
        assert x + tile <= WIDTH and y + tile <= height
        taken[y : y + tile, x : x + tile] += 1
    assert taken.max() == 1 and height % 2 == 0
