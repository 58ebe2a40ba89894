"""From a decoded frame to pixels: upright, square, in the right colours."""

from __future__ import annotations

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from stages.records import Image

HD_LINES = 720  # from so many lines on an untagged video is BT.709, below BT.601
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}  # by the number in H.273; all others, which FFmpeg refuses to convert, are taken for untagged
RANGES = {1: ColorRange.MPEG, 2: ColorRange.JPEG}

Turn = tuple[bool, bool, bool]
"""How a stored picture becomes the one that is shown: rows and columns swapped, then rows reversed, then columns."""


def turn_of(picture: VideoFrame) -> Turn:
    """What the frame's display matrix asks for, the nearest of the eight orientations."""
    found = picture.side_data.get(Type.DISPLAYMATRIX)
    if found is None or len(data := bytes(found)) < 36:
        return False, False, False
    a, b, _, c, d = (float(v) for v in np.frombuffer(data, np.int32)[:5])
    # A point x, y is shown at a x + c y, b x + d y.
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def turned(pixels: Image, turn: Turn) -> Image:
    """A picture (H, W) or (H, W, 3), turned."""
    swap, rows, columns = turn
    if swap:
        pixels = pixels.swapaxes(0, 1)
    if rows:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if columns else pixels


def turn_planes(planes: Image, turn: Turn) -> Image:
    """A planar yuv420p picture (3H/2, W), turned."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat = planes.reshape(-1)
    y = flat[: height * width].reshape(height, width)
    u, v = flat[height * width :].reshape(2, height // 2, width // 2)
    parts = np.concatenate([turned(plane, turn).reshape(-1) for plane in (y, u, v)])
    return np.ascontiguousarray(parts.reshape(-1, height if turn[0] else width))


def matrix_of(lines: int) -> Colorspace:
    """The colour matrix of a video that tells none, and of those we draw."""
    return Colorspace.ITU709 if lines >= HD_LINES else Colorspace.ITU601


def pixels_of(picture: VideoFrame, kind: str = "rgb24", shape: float = 1.0) -> Image:
    """RGB (H, W, 3), or planar yuv420p (3H/2, W) of video range and `matrix_of` its lines; turned upright, its pixels made square
    from ``shape`` (`stages.video.container.shape_of_pixels`)."""
    turn = turn_of(picture)
    width, height = round(picture.width * max(1.0, shape)), round(picture.height * max(1.0, 1 / shape))
    source = {
        "src_colorspace": MATRICES.get(int(picture.colorspace), matrix_of(picture.height)),
        "src_color_range": RANGES.get(int(picture.color_range)) or (ColorRange.JPEG if _full(picture) else ColorRange.MPEG),
    }
    if kind == "yuv420p":
        # Even sizes: chroma has half the pixels each way.
        width, height = width // 2 * 2, height // 2 * 2
        shown = {"dst_colorspace": matrix_of(width if turn[0] else height), "dst_color_range": ColorRange.MPEG}
        planes = picture.reformat(width=width, height=height, format="yuv420p", **source, **shown).to_ndarray()
        return turn_planes(planes, turn) if any(turn) else planes
    pixels = picture.reformat(width=width, height=height, format="rgb24", **source, dst_color_range=ColorRange.JPEG).to_ndarray()
    return np.ascontiguousarray(turned(pixels, turn)) if any(turn) else pixels


def _full(picture: VideoFrame) -> bool:
    """Whether a frame that tells no range has the full one by its format."""
    return picture.format.name.startswith("yuvj") or picture.format.is_rgb
