"""Random camera degradations of whole frames: blur, motion, light, noise, interlacing and compression.

The effects are typical of surveillance footage: infra-red light (grey, bright in the middle), backlight, interlaced fields,
streams upscaled from a lower resolution, sharpening, and H.264 at low bitrates.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from training.common.degradations import jpeg
from training.common.video_codec import h264_last_frame

Image = NDArray[np.uint8]

BLURRED, MOVED, SOFT, SHARPENED, INTERLACED = 0.4, 0.12, 0.1, 0.08, 0.05  # shares of frames, 0..1
INFRA_RED, GREY, DAZZLED = 0.1, 0.12, 0.12
NOISY, JPEG, CODED = 0.6, 0.45, 0.3
MOST_MOVED = 6  # longest motion blur in pixels
QUALITY, CRF = (22, 90), (20, 40)


def apply_camera(image: Image, noise: NDArray[np.float32], rng: np.random.Generator) -> Image:
    """Degrade a frame with random camera parameters.

    Args:
        image: uint8 (H, W, 3) RGB.
        noise: float32 (M,) standard normal samples, reused as sensor noise; M must be at least H * W * 3.
        rng: source of all random parameters.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    image = _optics(image, rng)
    image = _light(image, rng)
    if rng.random() < SHARPENED:
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        strength = float(rng.uniform(0.4, 1.2))
        image = cv2.addWeighted(image, 1 + strength, soft, -strength, 0).astype(np.uint8)
    if rng.random() < NOISY:
        start = int(rng.integers(0, len(noise) - image.size)) if image.size < len(noise) else 0
        grain = noise[start : start + image.size].reshape(image.shape) * rng.uniform(1, 9)
        image = cv2.add(image, grain, dtype=cv2.CV_8U).astype(np.uint8)
    if rng.random() < INTERLACED:
        other = np.roll(image, int(rng.integers(-4, 5)), 1)
        image = image.copy()
        image[1::2] = other[1::2]
    if rng.random() < JPEG:
        image = jpeg(image, int(rng.integers(*QUALITY)))
    if rng.random() < CODED:
        way = rng.integers(-4, 5, 2)
        image = h264_last_frame(np.stack([np.roll(image, n * way, (0, 1)) for n in (2, 1, 0)]), int(rng.integers(*CRF)))
    return image


def _optics(image: Image, rng: np.random.Generator) -> Image:
    """Apply defocus, motion blur, or upscaling from a lower resolution."""
    if rng.random() < BLURRED:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1)).astype(np.uint8)
    if rng.random() < MOVED:
        kernel = motion_kernel(float(rng.uniform(1.5, MOST_MOVED)), float(rng.uniform(0, np.pi)))
        image = cv2.filter2D(image, -1, kernel).astype(np.uint8)
    if rng.random() < SOFT:
        height, width = image.shape[:2]
        factor = float(rng.uniform(1.2, 2.2))
        small = cv2.resize(image, (round(width / factor), round(height / factor)), interpolation=cv2.INTER_AREA)
        method = cv2.INTER_CUBIC if rng.random() < 0.6 else cv2.INTER_NEAREST
        image = cv2.resize(small, (width, height), interpolation=method).astype(np.uint8)
    return image


def motion_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """Return a motion blur kernel float32 (k, k) that sums to 1; ``length`` in pixels, ``angle`` in radians."""
    half = int(np.ceil(length / 2))
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for step in np.linspace(-length / 2, length / 2, 8 * half + 1):
        kernel[round(half + step * np.sin(angle)), round(half + step * np.cos(angle))] += 1
    return np.asarray(kernel / kernel.sum(), np.float32)


def _light(image: Image, rng: np.random.Generator) -> Image:
    """Change exposure and add grey conversion, infra-red light (brightest at a point) or contrast-flattening backlight."""
    infra_red = rng.random() < INFRA_RED
    if infra_red or rng.random() < GREY:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.uint8)
    steps = np.arange(256) / 255
    if rng.random() < DAZZLED:
        low = rng.uniform(0, 70)
        curve = low + 255 * rng.uniform(0.25, 0.6) * steps ** rng.uniform(0.9, 1.5)
    else:
        curve = 255 * rng.uniform(0.45, 1.2) * steps ** rng.uniform(0.65, 1.4) + rng.uniform(-15, 15)
    image = cv2.LUT(image, np.clip(curve, 0, 255).astype(np.uint8)).astype(np.uint8)
    if infra_red:
        height, width = image.shape[:2]
        x, y = np.linspace(-1, 1, width) - rng.uniform(-0.5, 0.5), np.linspace(-1, 1, height) - rng.uniform(-0.5, 0.5)
        lamp = rng.uniform(0.9, 1.6) - rng.uniform(0.1, 0.5) * (x[None] ** 2 + y[:, None] ** 2)
        image = np.clip(image * lamp[..., None].astype(np.float32), 0, 255).astype(np.uint8)
    return image
