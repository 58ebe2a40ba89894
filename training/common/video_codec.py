"""What a video codec leaves of small faces: they move through a clip that is really encoded as H.264 and decoded again.

JPEG, as in training/common/degradations.py, works each picture by itself and on blocks that start at the chip's corner. A
camera's codec
predicts from the picture before, smears what it does not hold worth its bits, and its blocks lie anywhere on a face.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP, level_for_side
from training.common.degradations import CCTV_BLUR

WIDTH = 640  # pixels of the clip
FRAMES = 3  # the last is kept
ROOM = 1.3, 4  # a tile's side: times the face's, and more pixels
TURN, SPEED = 12.0, 0.05  # degrees at most; face sides a frame, standard deviation
CRF = 20, 35

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]


def film_chips(chips: Sequence[Image], sides: Sequence[int], rng: np.random.Generator) -> list[Image]:
    """Chips (128, 128, 3) uint8 as cut from a clip in which they are ``sides`` pixels wide: (r, r, 3), r the rung of each."""
    tiles = [int(side * ROOM[0]) + ROOM[1] for side in sides]
    places, height = shelf_pack(tiles)
    clip = np.full((FRAMES, height, WIDTH, 3), 128, np.uint8)
    ways: list[Matrix] = []
    for chip, side, tile, (x, y) in zip(chips, sides, tiles, places, strict=True):
        shots, way = moving_face(chip, side, tile, rng)
        clip[:, y : y + tile, x : x + tile] = shots
        ways.append(way)
    last = h264_last_frame(clip, int(rng.integers(*CRF)))
    return [
        cut_chip(last[y : y + t, x : x + t], way, level_for_side(s))
        for s, t, (x, y), way in zip(sides, tiles, places, ways, strict=True)
    ]


def shelf_pack(tiles: Sequence[int]) -> tuple[list[tuple[int, int]], int]:
    """Top left corners of square tiles set row by row into `WIDTH` pixels, and the height they need (even)."""
    places = [(0, 0)] * len(tiles)
    x = y = tallest = 0
    for number in sorted(range(len(tiles)), key=lambda n: tiles[n]):
        if x + tiles[number] > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        places[number] = x, y
        x, tallest = x + tiles[number], tiles[number]
    return places, (y + tallest + 1) // 2 * 2


def moving_face(chip: Image, side: int, tile: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Matrix]:
    """A chip moving through its tile, (frames, tile, tile, 3), and the matrix from chip to tile pixels in the last frame."""
    blur = rng.uniform(0.1, 1.5) * CCTV_BLUR * CHIP / side
    noise = rng.uniform(0.5, 6.0)
    brightness = rng.uniform(0.7, 1.1)
    large = cv2.resize(cv2.GaussianBlur(chip, (0, 0), max(0.05, blur)), (2 * side, 2 * side), interpolation=cv2.INTER_AREA)
    turned = cv2.getRotationMatrix2D((side - 0.5, side - 0.5), rng.uniform(-TURN, TURN), 0.5)
    turned[:, 2] += (tile - 1) / 2 - (side - 0.5) + rng.uniform(-0.5, 0.5, 2)
    speed = rng.normal(0, SPEED * side, 2)
    shots = []
    for frame in range(FRAMES):
        matrix = turned.copy()
        matrix[:, 2] += np.clip(speed * (frame - FRAMES + 1), -tile / 4, tile / 4)
        shot = cv2.warpAffine(large, matrix, (tile, tile), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        noisy = shot * np.float32(brightness) + rng.standard_normal(shot.shape, np.float32) * np.float32(noise)
        shots.append(np.clip(noisy + 0.5, 0, 255).astype(np.uint8))
    return np.stack(shots), rescale_matrix(turned, 2 * side / CHIP)


def rescale_matrix(matrix: Matrix, scale: float) -> Matrix:
    """The matrix for pixels ``scale`` times as large as those it was made for; a pixel's own centre is at its integer."""
    shift = matrix[:, 2] + matrix[:, :2] @ np.full(2, (scale - 1) / 2)
    return np.hstack([matrix[:, :2] * scale, shift[:, None]])


def h264_last_frame(clip: NDArray[np.uint8], crf: int) -> Image:
    """The last picture of an RGB clip (frames, height, width, 3) after H.264 at this rate factor."""
    coder = av.CodecContext.create("libx264", "w")
    coder.width, coder.height, coder.pix_fmt, coder.time_base = clip.shape[2], clip.shape[1], "yuv420p", Fraction(1, 25)
    coder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency", "threads": "1"}
    decoder = av.CodecContext.create("h264", "r")
    frames = []
    for number, picture in enumerate(clip):
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = number
        for packet in coder.encode(frame):
            frames += decoder.decode(packet)
    for packet in coder.encode(None):
        frames += decoder.decode(packet)
    frames += decoder.decode(None)
    return np.asarray(frames[-1].to_ndarray(format="rgb24"), np.uint8)


def cut_chip(tile: Image, way: Matrix, rung: int) -> Image:
    """The chip at a rung from a tile, whose pixels ``way`` finds from those of a 128 chip."""
    back = rescale_matrix(way, CHIP / rung)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(tile, back, (rung, rung), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)
