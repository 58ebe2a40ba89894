"""Draw the synthetic scene: an empty corridor, plain figures, and heads pasted onto them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP

Image = NDArray[np.uint8]


def paste_head(frame: Image, chip: Image, mask: NDArray[np.float32], x: float, y: float, scale: float, blur: float = 0.0) -> None:
    """Paste the head of a chip onto a frame, in place.

    Args:
        frame: uint8 (H, W, 3) RGB.
        chip: uint8 (128, 128, 3) RGB.
        mask: float32 (128, 128) in 0..1, opacity of the head.
        x: x of the chip's centre, in pixels of the frame.
        y: y of the chip's centre, in pixels of the frame.
        scale: frame pixels per chip pixel.
        blur: sigma of a Gaussian blur, in frame pixels.
    """
    reach = int(CHIP * scale / 2) + 3
    x0, y0 = int(x) - reach, int(y) - reach
    matrix = np.array([[scale, 0, x - x0 - scale * CHIP / 2], [0, scale, y - y0 - scale * CHIP / 2]])
    side = (2 * reach, 2 * reach)
    soft = max(0.0, 0.4 / scale) if scale < 1 else 0.0
    sigma = float(np.hypot(soft, blur / scale))
    if sigma > 0.1:
        chip = np.asarray(cv2.GaussianBlur(chip, (0, 0), sigma), np.uint8)
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)
    small = cv2.warpAffine(chip, matrix, side, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(mask, matrix, side)[..., None]
    top, left = max(0, -y0), max(0, -x0)
    bottom, right = min(2 * reach, frame.shape[0] - y0), min(2 * reach, frame.shape[1] - x0)
    if bottom <= top or right <= left:
        return
    window = frame[y0 + top : y0 + bottom, x0 + left : x0 + right]
    part = slice(top, bottom), slice(left, right)
    window[:] = (window * (1 - alpha[part]) + small[part] * alpha[part]).astype(np.uint8)


def draw_body(frame: Image, x: float, y: float, face_px: float, seed: int, stride: float, chip: Image) -> None:
    """Draw a plain figure below the head, in place: legs, torso, neck, and hair behind the face.

    ``seed`` sets the colours, ``stride`` in -1..1 the legs' position; the skin's colour is taken from ``chip``.
    """
    rng = np.random.default_rng(seed)
    shirt, trousers, hair = (tuple(int(v) for v in rng.integers(low, high, 3)) for low, high in ((40, 200), (20, 90), (15, 70)))
    skin = tuple(int(v * 0.8) for v in chip[80:100, 52:76].reshape(-1, 3).mean(0))

    def at(dx: float, dy: float) -> tuple[int, int]:
        return round(x + dx * face_px), round(y + dy * face_px)

    for side in (-1, 1):
        cv2.line(
            frame,
            at(side * 0.45, 4.2),
            at(side * (0.45 + 0.2 * stride), 8.0),
            trousers,
            max(2, round(0.75 * face_px)),
            cv2.LINE_AA,
        )
        cv2.line(
            frame, at(side * 1.15, 1.5), at(side * (1.25 + 0.15 * stride), 4.0), shirt, max(2, round(0.5 * face_px)), cv2.LINE_AA
        )
    torso = np.array([at(-1.25, 1.25), at(-0.4, 0.95), at(0.4, 0.95), at(1.25, 1.25), at(0.95, 4.6), at(-0.95, 4.6)])
    cv2.fillPoly(frame, [torso], shirt, cv2.LINE_AA)
    cv2.line(frame, at(0, 0.4), at(0, 1.05), skin, max(2, round(0.55 * face_px)), cv2.LINE_AA)
    cv2.ellipse(frame, at(0, -0.12), (round(0.62 * face_px), round(0.78 * face_px)), 0, 0, 360, hair, -1, cv2.LINE_AA)


def draw_background(width: int, height: int, rng: np.random.Generator) -> Image:
    """Draw an empty corridor in one-point perspective, uint8 (height, width, 3): ceiling with lamps, floor, walls with doors."""
    picture = np.zeros((height, width, 3), np.uint8)
    vx, vy = 0.5, 0.26
    far_w, far_h = 0.055, 0.09

    def at(px: float, py: float) -> tuple[int, int]:
        return round(px * width), round(py * height)

    left, right, top, bottom = vx - far_w, vx + far_w, vy - far_h, vy + far_h
    for corners, colour in (
        ((at(0, 0), at(1, 0), at(right, top), at(left, top)), (188, 188, 180)),
        ((at(0, 1), at(1, 1), at(right, bottom), at(left, bottom)), (118, 112, 104)),
        ((at(0, 0), at(left, top), at(left, bottom), at(0, 1)), (164, 160, 148)),
        ((at(1, 0), at(right, top), at(right, bottom), at(1, 1)), (150, 148, 138)),
        ((at(left, top), at(right, top), at(right, bottom), at(left, bottom)), (96, 100, 108)),
    ):
        cv2.fillPoly(picture, [np.array(corners)], colour, cv2.LINE_AA)
    for depth in (0.08, 0.3, 0.55, 0.75):  # 0 at the camera, 1 at the far end
        for side, edge in ((0.0, left), (1.0, right)):
            a, b = depth, depth + 0.1
            xa, xb = side + (edge - side) * a, side + (edge - side) * b
            ya, yb = (top * d for d in (a, b))
            za, zb = (1 + (bottom - 1) * d for d in (a, b))
            door = [at(xa, ya + 0.28 * (za - ya)), at(xb, yb + 0.28 * (zb - yb)), at(xb, zb), at(xa, za)]
            cv2.fillPoly(picture, [np.array(door)], tuple(int(v) for v in rng.integers(70, 130, 3)), cv2.LINE_AA)
        xa, xb = 0.5 - 0.16 * (1 - depth), 0.5 + 0.16 * (1 - depth)
        lamp = [at(xa, top * depth), at(xb, top * depth), at(xb, top * (depth + 0.05)), at(xa, top * (depth + 0.05))]
        cv2.fillPoly(picture, [np.array(lamp)], (246, 246, 236), cv2.LINE_AA)
    grain = cv2.resize(rng.normal(0, 6, (height // 4, width // 4, 1)).astype(np.float32), (width, height))
    return cv2.GaussianBlur(cv2.add(picture, np.repeat(grain[..., None], 3, 2), dtype=cv2.CV_8U), (0, 0), 0.8).astype(np.uint8)
