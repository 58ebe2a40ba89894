"""Degradations of face chips, as named and versioned presets.

A preset takes a sharp chip uint8 (128, 128, 3) RGB, a side s in pixels and a random generator. It returns the degraded chip uint8
(s, s, 3). Accuracy differs by whole percentage points between presets, so model cards and tables name the preset and `VERSION`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.chip import CHIP

Chip = NDArray[np.uint8]
Degradation = Callable[[Chip, int, np.random.Generator], Chip]

OPENCV_KERNELS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
CHANNEL_GAIN = 0.85, 1.1  # random factor on each colour channel
CCTV_BLUR = 0.35  # sigma in pixels of the small image
KERNELS = ("bicubic", "area", "bilinear", "lanczos", "gaussian")  # for clean downscaling
LANCZOS_LOBES, GAUSSIAN_SIGMA = 3.0, 0.5  # in pixels of the small image


def _antialiased(chip: Chip, side: int, kernel: str) -> Chip:
    # These filters (as in Pillow) widen with the scale factor; OpenCV's bilinear and bicubic filters do not.
    picture = torch.from_numpy(np.array(chip)).permute(2, 0, 1)[None]
    small = F.interpolate(picture, (side, side), mode=kernel, antialias=True)
    return np.ascontiguousarray(small[0].permute(1, 2, 0).numpy())


def pfsr_bilinear_chain(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """Halve repeatedly by antialiased bilinear sampling, as the data loader of PFSR does (arXiv 1908.08239)."""
    size = chip.shape[0]
    while size // 2 >= side:
        size //= 2
        chip = _antialiased(chip, size, "bilinear")
    return chip if size == side else _antialiased(chip, side, "bilinear")


def bicubic(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """One antialiased bicubic step, the standard test of super-resolution papers."""
    return chip if side == chip.shape[0] else _antialiased(chip, side, "bicubic")


def area(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """Area sampling: each pixel is the mean over its area, as of an ideal sensor without lens blur."""
    return cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)


def bilinear(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """One antialiased bilinear step, as image libraries and browsers do."""
    return chip if side == chip.shape[0] else _antialiased(chip, side, "bilinear")


def lanczos(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """One antialiased Lanczos step, as video scalers do."""
    return _by_matrix(chip, side, "lanczos")


def gaussian(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """Gaussian blur, then sampling: a lens before a sensor."""
    return _by_matrix(chip, side, "gaussian")


def kernel_matrix(kind: str, source: int, side: int) -> NDArray[np.float32]:
    """Weights float32 (side, source) that shrink one axis by ``lanczos`` or ``gaussian``; rows sum to 1."""
    factor = source / side
    centres = (np.arange(side)[:, None] + 0.5) * factor - 0.5
    away = (np.arange(source) - centres) / max(1.0, factor)
    if kind == "lanczos":
        weights = np.sinc(away) * np.sinc(away / LANCZOS_LOBES) * (np.abs(away) < LANCZOS_LOBES)
    else:
        weights = np.exp(-0.5 * (away / GAUSSIAN_SIGMA) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _by_matrix(chip: Chip, side: int, kind: str) -> Chip:
    rows = kernel_matrix(kind, chip.shape[0], side)
    small = np.einsum("ih,hwc,jw->ijc", rows, chip.astype(np.float32), rows, optimize=True)
    return np.asarray(np.clip(small + 0.5, 0, 255), np.uint8)


def nearest(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """Nearest-neighbour sampling, the degradation of F-SKD (arXiv 2303.04681)."""
    return cv2.resize(chip, (side, side), interpolation=cv2.INTER_NEAREST)


def any_kernel(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """Resize by one of OpenCV's five kernels, chosen at random: the degradation of the extended F-SKD (2024)."""
    return cv2.resize(chip, (side, side), interpolation=int(rng.choice(OPENCV_KERNELS)))


def cctv_fixed(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """The median camera of `cctv`, for tests: blur 0.35 px, area sampling, noise sigma 4, JPEG quality 70."""
    return _camera(chip, side, rng, blur=1.0, noise=4.0, quality=70, gain=1.0, gamma=1.0)


def cctv_camera(rng: np.random.Generator) -> Degradation:
    """Draw a surveillance camera: a degradation with fixed blur, exposure, sensor noise level and JPEG quality."""
    blur, noise, quality = rng.uniform(0.3, 2.0), rng.uniform(0.5, 8.0), int(rng.integers(35, 92))
    gain, gamma = rng.uniform(0.6, 1.15), rng.uniform(0.75, 1.3)

    def picture(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
        return _camera(chip, side, rng, blur=blur, noise=noise, quality=quality, gain=gain, gamma=gamma)

    return picture


def cctv(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """Degrade by a new random camera for each chip: blur, exposure, sensor noise and JPEG quality vary."""
    return cctv_camera(rng)(chip, side, rng)


def _camera(
    chip: Chip, side: int, rng: np.random.Generator, *, blur: float, noise: float, quality: int, gain: float, gamma: float
) -> Chip:
    small = cv2.GaussianBlur(chip, (0, 0), max(0.05, CCTV_BLUR * blur * CHIP / side))
    small = cv2.resize(small, (side, side), interpolation=cv2.INTER_AREA)
    if gain != 1.0 or gamma != 1.0:
        curve = np.clip(gain * 255 * (np.arange(256) / 255) ** gamma, 0, 255).astype(np.uint8)
        small = cv2.LUT(small, curve)
    noisy = small + rng.standard_normal(small.shape, np.float32) * noise
    small = np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
    return jpeg(small, quality)


def jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Encode and decode an RGB image uint8 (H, W, 3) as JPEG; ``quality`` 1..100, lower compresses more."""
    _, code = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1])


def relight(chip: Chip, rng: np.random.Generator) -> Chip:
    """Vary the light: multiply each colour channel by a random factor from `CHANNEL_GAIN`."""
    curves = np.clip(np.arange(256)[:, None] * rng.uniform(*CHANNEL_GAIN, 3) + 0.5, 0, 255)
    return cv2.LUT(chip, curves.astype(np.uint8)[:, None])


def jitter_matrix(strength: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw an affine matrix (2, 3) that misaligns chips as landmark errors do; ``strength`` 1 is about 3 % of the side."""
    scale = 1 + strength * rng.normal(0, 0.03)
    angle = strength * rng.normal(0, 3.0)
    matrix = cv2.getRotationMatrix2D((CHIP / 2 - 0.5, CHIP / 2 - 0.5), angle, scale)
    matrix[:, 2] += strength * rng.normal(0, 0.02 * CHIP, 2)
    return matrix


def jitter(chip: Chip, strength: float, rng: np.random.Generator) -> Chip:
    """Warp a chip (128, 128, 3) by `jitter_matrix`; borders are repeated."""
    matrix = jitter_matrix(strength, rng)
    return cv2.warpAffine(chip, matrix, (CHIP, CHIP), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def cctv_even(chip: Chip, side: int, rng: np.random.Generator) -> Chip:
    """`cctv` without exposure changes, for super-resolution: true brightness cannot be restored from the image."""
    blur, noise, quality = rng.uniform(0.3, 2.0), rng.uniform(0.5, 8.0), int(rng.integers(35, 92))
    return _camera(chip, side, rng, blur=blur, noise=noise, quality=quality, gain=1.0, gamma=1.0)


PRESETS: dict[str, Degradation] = {
    "pfsr-bilinear-chain": pfsr_bilinear_chain,
    "bicubic": bicubic,
    "area": area,
    "bilinear": bilinear,
    "lanczos": lanczos,
    "gaussian": gaussian,
    "fskd-nearest": nearest,
    "fskd-any-kernel": any_kernel,
    "cctv": cctv,
    "cctv-even": cctv_even,
    "cctv-fixed": cctv_fixed,
}
VERSION = 3  # raise it when a preset changes
