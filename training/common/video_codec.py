"""Degrade small faces with a real video codec: moving faces are drawn into a clip that is encoded as H.264 and decoded.

JPEG (`training.common.degradations`) codes each image alone, with blocks that start at the chip's corner. A video codec predicts
from the previous frame and drops detail at low bitrates, and its blocks have any offset to the face.
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

WIDTH = 640  # width of the clip in pixels
FRAMES = 3  # length of the clip; only the last frame is used
ROOM = 1.3, 4  # tile side over face side, plus pixels
TURN, SPEED = 12.0, 0.05  # largest rotation in degrees; standard deviation of the motion in face sides per frame
CRF = 20, 35

Image = NDArray[np.uint8]
Matrix = NDArray[np.float64]


def film_chips(chips: Sequence[Image], sides: Sequence[int], rng: np.random.Generator) -> list[Image]:
    """Draw chips as small moving faces into an H.264 clip and cut them from its last frame.

    Args:
        chips: sharp chips uint8 (128, 128, 3) RGB.
        sides: side of each chip in the clip, in pixels.
        rng: source of random motion, blur, noise, brightness and the rate factor.

    Returns:
        Chips uint8 (r, r, 3), r the resolution level of each side.
    """
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
    """Pack square tiles row by row into `WIDTH` pixels.

    Args:
        tiles: sides in pixels.

    Returns:
        The top left corner (x, y) of each tile, and the height needed, rounded up to an even number.
    """
    places = [(0, 0)] * len(tiles)
    x = y = tallest = 0
    for number in sorted(range(len(tiles)), key=lambda n: tiles[n]):
        if x + tiles[number] > WIDTH:
            x, y, tallest = 0, y + tallest, 0
        places[number] = x, y
        x, tallest = x + tiles[number], tiles[number]
    return places, (y + tallest + 1) // 2 * 2


def moving_face(chip: Image, side: int, tile: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Matrix]:
    """Render a moving face into the frames of its tile.

    Args:
        chip: uint8 (128, 128, 3) RGB.
        side: side of the face chip in the clip, pixels.
        tile: side of its tile in the clip, pixels.
        rng: source of random blur, noise, brightness, rotation and motion.

    Returns:
        Frames uint8 (`FRAMES`, tile, tile, 3), and the matrix (2, 3) from chip to tile pixels in the last frame.
    """
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
    """Rescale a matrix (2, 3) to source pixels ``scale`` times as large. Pixel centres are at integers."""
    shift = matrix[:, 2] + matrix[:, :2] @ np.full(2, (scale - 1) / 2)
    return np.hstack([matrix[:, :2] * scale, shift[:, None]])


def h264_last_frame(clip: NDArray[np.uint8], crf: int) -> Image:
    """Encode an RGB clip (frames, H, W, 3) as H.264 and return the last decoded frame; a higher ``crf`` compresses more."""
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


def cut_chip(tile: Image, way: Matrix, level: int) -> Image:
    """Cut a chip (level, level, 3) out of a tile; ``way`` (2, 3) maps 128-pixel chip coordinates to the tile."""
    back = rescale_matrix(way, CHIP / level)
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(tile, back, (level, level), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)
