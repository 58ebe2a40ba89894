"""Converts decoded frames to pixels: orientation, pixel aspect ratio and colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from stages.records import Image

HD_LINES = 720  # untagged video is BT.709 from this height on, BT.601 below
MATRICES = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}  # by the number in H.273; FFmpeg cannot convert the others, which are treated as untagged
RANGES = {1: ColorRange.MPEG, 2: ColorRange.JPEG}

Orientation = tuple[bool, bool, bool]
"""How to turn a stored frame upright: swap rows and columns, then reverse the rows, then reverse the columns."""


def orientation_of(picture: VideoFrame) -> Orientation:
    """Return the orientation in the frame's display matrix, rounded to the nearest of the eight."""
    side_data: Any = picture.side_data  # PyAV's stub lacks the lookup by type
    matrix = side_data.get(Type.DISPLAYMATRIX)
    if matrix is None or len(data := bytes(matrix)) < 36:
        return False, False, False
    a, b, _, c, d = (float(v) for v in np.frombuffer(data, np.int32)[:5])
    # A point x, y is shown at a x + c y, b x + d y.
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, d < 0, a < 0
    return True, b < 0, c < 0


def oriented(pixels: Image, turn: Orientation) -> Image:
    """Apply an orientation to an image (H, W) or (H, W, 3)."""
    swap, rows, columns = turn
    if swap:
        pixels = pixels.swapaxes(0, 1)
    if rows:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if columns else pixels


def split_planes(planes: Image) -> tuple[Image, Image, Image]:
    """Return luma (H, W) and both chroma planes (H/2, W/2) of a planar yuv420p image, as views."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    flat = planes.reshape(-1)
    u, v = flat[height * width :].reshape(2, height // 2, width // 2)
    return flat[: height * width].reshape(height, width), u, v


def orient_planes(planes: Image, turn: Orientation) -> Image:
    """Apply an orientation to a planar yuv420p image (3H/2, W)."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    parts = np.concatenate([oriented(plane, turn).reshape(-1) for plane in split_planes(planes)])
    return np.ascontiguousarray(parts.reshape(-1, height if turn[0] else width))


def colour_matrix(lines: int) -> Colorspace:
    """Return the colour matrix of untagged video of this height, also used for annotated videos."""
    return Colorspace.ITU709 if lines >= HD_LINES else Colorspace.ITU601


def to_pixels(picture: VideoFrame, kind: str = "rgb24", shape: float = 1.0) -> Image:
    """Convert a decoded frame to pixels: upright, with square pixels, in the right colours.

    Args:
        picture: the decoded frame.
        kind: ``rgb24`` or ``yuv420p``.
        shape: pixel aspect ratio of the stream (`stages.video.container.pixel_aspect_ratio`).

    Returns:
        uint8 (H, W, 3) RGB; or planar yuv420p (3H/2, W), limited range, in the `colour_matrix` of its height.
    """
    turn = orientation_of(picture)
    width, height = round(picture.width * max(1.0, shape)), round(picture.height * max(1.0, 1 / shape))
    source = {
        "src_colorspace": MATRICES.get(int(picture.colorspace), colour_matrix(picture.height)),
        "src_color_range": RANGES.get(int(picture.color_range))
        or (ColorRange.JPEG if _is_full_range(picture) else ColorRange.MPEG),
    }
    if kind == "yuv420p":
        # Even sizes: chroma has half the pixels each way.
        width, height = width // 2 * 2, height // 2 * 2
        target = {"dst_colorspace": colour_matrix(width if turn[0] else height), "dst_color_range": ColorRange.MPEG}
        planes = as_uint8(picture.reformat(width=width, height=height, format="yuv420p", **source, **target))
        return orient_planes(planes, turn) if any(turn) else planes
    target = {"dst_color_range": ColorRange.JPEG}
    pixels = as_uint8(picture.reformat(width=width, height=height, format="rgb24", **source, **target))
    return np.ascontiguousarray(oriented(pixels, turn)) if any(turn) else pixels


def as_uint8(picture: VideoFrame) -> Image:
    """Return the pixels of a frame in an 8-bit format such as ``rgb24`` or ``yuv420p``."""
    return picture.to_ndarray().astype(np.uint8, copy=False)


def _is_full_range(picture: VideoFrame) -> bool:
    """Return whether the pixel format of a frame without a range tag implies full range."""
    return picture.format.name.startswith("yuvj") or picture.format.is_rgb
