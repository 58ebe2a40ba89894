"""Camera degradations for whole batches, on the training device.

`training.common.degradations` and `training.common.video_codec` degrade one chip at a time with OpenCV and a real encoder, which
is too slow for a GPU. This module processes a batch in which each image has its own size and camera parameters. Resampling and
blur are matrix products: the small image is R X R^T, where R (side, 128) blurs and samples rows.

Images are float (N, 3, H, W) RGB in 0..255. An image with a side below 128 lies in the upper left corner of a canvas
(N, 3, 128, 128); its last row and column are repeated to fill the canvas. ``sides`` int64 (N,) holds the sides in pixels.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.chip import CHIP
from models.networks.recognizer import VIEW
from training.common.degradations import CCTV_BLUR, kernel_matrix

MIN_SIDE = 8  # pixels of the smallest side
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)  # ITU-T T.81, table K.1
CHROMINANCE = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))  # table K.2; beyond it, 99
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
DEAD_ZONE = 1 / 3  # rounding offset of H.264 intra coding: a coefficient rounds up from two thirds of a step


@dataclass(frozen=True)
class CameraParameters:
    """Camera parameters of N images. Every field is a float tensor (N,).

    Attributes:
        blur: standard deviation of the lens blur, in units of `CCTV_BLUR` pixels of the small image.
        noise: standard deviation of the sensor noise in grey levels.
        quality: JPEG quality, 1..100; lower compresses more.
        gain: factor on brightness.
        gamma: exponent on brightness; above 1 darkens mid-tones.
        step: quantiser step of the H.264 model in grey levels; higher compresses more. 0 selects JPEG.
    """

    blur: Tensor
    noise: Tensor
    quality: Tensor
    gain: Tensor
    gamma: Tensor
    step: Tensor

    @staticmethod
    def sample(n: int, generator: torch.Generator, even_exposure: bool = False, video_share: float = 0.0) -> CameraParameters:
        """Draw ``n`` random cameras, distributed as in `training.common.degradations.cctv`.

        Args:
            n: number of cameras.
            generator: on the device of the result.
            even_exposure: leave gain and gamma at 1, as in `training.common.degradations.cctv_even`.
            video_share: share 0..1 of cameras that use the H.264 model in place of JPEG.
        """

        def between(low: float, high: float) -> Tensor:
            return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low

        coded = between(0, 1) < video_share
        ones = torch.ones(n, device=generator.device)
        return CameraParameters(
            between(0.3, 2.0),
            between(0.5, 8.0),
            between(35, 92).floor(),
            ones if even_exposure else between(0.6, 1.15),
            ones if even_exposure else between(0.75, 1.3),
            torch.where(coded, 0.625 * 2 ** (between(22, 37) / 6), 0 * ones),  # H.264 steps at QP 22..37
        )


@functools.cache
def resampling_matrices(kind: str, to: int | None, device: torch.device) -> Tensor:
    """Resampling matrices (129, rows, 128), indexed by the side of the small image.

    Args:
        kind: one of `degradations.KERNELS` (antialiased) to shrink; ``cubic`` (as `cv2.resize`) or ``view`` (the recogniser's
            crop) to enlarge.
        to: None: shrink 128 pixels to the side, and repeat the last row up to 128. Else: resample the side to ``to`` pixels.
        device: device of the result.
    """
    found = np.zeros((CHIP + 1, to or CHIP, CHIP), np.float32)
    for side in range(MIN_SIDE, CHIP + 1):
        eye = np.eye(CHIP if to is None else side, dtype=np.float32)
        if to is None:
            rows = _shrinking(eye, kind, side)
            found[side] = rows[np.minimum(np.arange(CHIP), side - 1)]
        elif kind == "cubic":
            found[side, :, :side] = _resized(eye, to, cv2.INTER_CUBIC)
        else:
            found[side, :, :side] = _viewing(eye, to)
    return torch.from_numpy(found).to(device)


def _resized(rows: np.ndarray, to: int, how: int) -> np.ndarray:
    return cv2.resize(rows, (rows.shape[1], to), interpolation=how).reshape(to, -1)


def _shrinking(eye: np.ndarray, kind: str, side: int) -> np.ndarray:
    if kind == "area":
        return _resized(eye, side, cv2.INTER_AREA)
    if kind in ("lanczos", "gaussian"):
        return kernel_matrix(kind, len(eye), side) @ eye
    small = F.interpolate(torch.from_numpy(eye)[None, None], (side, len(eye)), mode=kind, antialias=True)
    return np.asarray(small[0, 0])


def _viewing(eye: np.ndarray, to: int) -> np.ndarray:
    side = len(eye)
    scale = to / side * CHIP / VIEW
    if scale < 1:
        margin = round(side / 16)
        return _resized(eye[margin : side - margin], to, cv2.INTER_AREA)
    away = to / 2 - 0.5 - scale * (side / 2 - 0.5)
    move = np.array([[1, 0, 0], [0, scale, away]])
    return cv2.warpAffine(eye, move, (side, to), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def resample(pictures: Tensor, rows: Tensor) -> Tensor:
    """Apply matrices (N, out, H) to both axes of images (N, 3, H, H)."""
    return rows[:, None] @ pictures @ rows[:, None].mT


def shrink(chips: Tensor, sides: Tensor, kind: str) -> Tensor:
    """Shrink chips (N, 3, 128, 128) to ``sides`` pixels on a canvas; ``kind`` is one of `degradations.KERNELS`."""
    return resample(chips, resampling_matrices(kind, None, chips.device)[sides]).round().clamp(0, 255)


def enlarge(canvas: Tensor, sides: Tensor, to: int) -> Tensor:
    """Enlarge small images on a canvas to (N, 3, to, to) by cubic interpolation, as `cv2.resize` does."""
    return resample(canvas, resampling_matrices("cubic", to, canvas.device)[sides]).round().clamp(0, 255)


def recognizer_view(canvas: Tensor, sides: Tensor, side: int) -> Tensor:
    """The recogniser's crop (N, 3, side, side) of small images on a canvas: the centre 112/128."""
    return resample(canvas, resampling_matrices("view", side, canvas.device)[sides]).round().clamp(0, 255)


def apply_camera(chips: Tensor, sides: Tensor, look: CameraParameters, generator: torch.Generator) -> Tensor:
    """Degrade chips (N, 3, 128, 128) to ``sides`` pixels on a canvas: blur, sampling, exposure, noise and compression."""
    sigma = (CCTV_BLUR * CHIP * look.blur / sides).clamp_min(0.05)[:, None, None]
    grid = torch.arange(CHIP, device=chips.device)
    lens = torch.exp(-((grid[:, None] - grid) ** 2) / (2 * sigma**2))
    rows = resampling_matrices("area", None, chips.device)[sides] @ (lens / lens.sum(2, keepdim=True))
    small = resample(chips, rows).round().clamp(0, 255)
    gain, gamma = (part[:, None, None, None] for part in (look.gain, look.gamma))
    small = (gain * 255 * (small / 255) ** gamma).clamp(0, 255)
    noise = torch.randn(small.shape, generator=generator, device=small.device) * look.noise[:, None, None, None]
    small = (small + noise).round().clamp(0, 255)
    return compress(repeat_border(small, sides), look.quality, look.step)


def repeat_border(canvas: Tensor, sides: Tensor) -> Tensor:
    """Fill a canvas beyond each image with the image's last row and column."""
    n, colours, height, width = canvas.shape
    place = torch.minimum(torch.arange(width, device=canvas.device), sides[:, None] - 1)
    canvas = canvas.gather(3, place[:, None, None].expand(n, colours, height, width))
    return canvas.gather(2, place[:, None, :, None].expand(n, colours, height, width))


@functools.cache
def _cosines(device: torch.device) -> Tensor:
    """The 2-D DCT of an 8x8 block as a matrix (64, 64)."""
    n = torch.arange(8, device=device, dtype=torch.float64)
    rows = torch.cos((2 * n + 1) * n[:, None] * torch.pi / 16) / 2
    rows[0] /= 2**0.5
    return torch.kron(rows, rows).float()


@functools.cache
def _colours(device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices (3, 3) from RGB to YCbCr and back."""
    to_ycc = torch.tensor(TO_YCC)
    return to_ycc.to(device), torch.linalg.inv(to_ycc.double()).float().to(device)


@functools.cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    luminance = torch.tensor(LUMINANCE, device=device, dtype=torch.float32)
    chrominance = torch.full((8, 8), 99.0, device=device)
    chrominance[:4, :4] = torch.tensor(CHROMINANCE, device=device)
    return luminance, chrominance


def _quantise(planes: Tensor, table: Tensor, dead: Tensor) -> Tensor:
    """Quantise the 8x8 DCT blocks of planes (N, C, H, W).

    Args:
        planes: pixel values around 0; H and W multiples of 8.
        table: quantiser steps (N, 8, 8), or one table for all.
        dead: rounding offset (N,): 0.5 rounds to nearest; a smaller one widens the dead zone around 0.
    """
    cosines, (n, colours, height, width) = _cosines(planes.device), planes.shape
    blocks = planes.reshape(n, colours, height // 8, 8, width // 8, 8).transpose(3, 4).flatten(4)
    table, dead = table.expand(n, 8, 8).flatten(1)[:, None, None, None], dead[:, None, None, None, None]
    levels = (blocks @ cosines.T) / table
    kept = levels.sign() * (levels.abs() + dead).floor() * table
    return (kept @ cosines).unflatten(4, (8, 8)).transpose(3, 4).reshape(n, colours, height, width)


def compress(pictures: Tensor, quality: Tensor, step: Tensor) -> Tensor:
    """Compress images with JPEG (ITU-T T.81), or with a model of H.264 intra coding where ``step`` is above 0.

    The H.264 model is one flat quantiser step with a dead zone, without prediction or deblocking. Both JPEG and the H.264 model
    subsample chroma 2x (4:2:0).

    Args:
        pictures: (N, 3, H, W) RGB in 0..255, H and W multiples of 16.
        quality: JPEG quality (N,), 1..100; lower compresses more.
        step: quantiser step (N,) in grey levels; 0 selects JPEG; higher compresses more.
    """
    to_ycc, back = _colours(pictures.device)
    planes = torch.einsum("ij,njhw->nihw", to_ycc, pictures).round()
    luma, chroma = planes[:, :1] - 128, F.avg_pool2d(planes[:, 1:], 2).round()
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    filmed = step[:, None, None] > 0
    dead = torch.where(step > 0, DEAD_ZONE, 0.5)
    tables = [
        torch.where(filmed, step[:, None, None], ((table * scale + 50) / 100).floor().clamp(1, 255))
        for table in _tables(pictures.device)
    ]
    luma = _quantise(luma, tables[0], dead).round() + 128
    chroma = F.interpolate(_quantise(chroma, tables[1], dead).round(), scale_factor=2, mode="bilinear", align_corners=False)
    return torch.einsum("ij,njhw->nihw", back, torch.cat([luma, chroma], 1)).round().clamp(0, 255)


def relight(chips: Tensor, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Vary the light: multiply each colour channel of chips (N, 3, H, W) by a random factor from [``low``, ``high``)."""
    factors = torch.rand(len(chips), 3, 1, 1, generator=generator, device=chips.device) * (high - low) + low
    return (chips * factors).round().clamp(0, 255)


def jitter_matrices(strength: Tensor, generator: torch.Generator) -> Tensor:
    """Draw affine matrices (N, 2, 3) that misalign chips as landmark errors do; see `degradations.jitter_matrix`.

    Args:
        strength: (N,), error per chip; 1 is about 3 % of the chip's side.
        generator: on the device of the result.
    """
    scale, angle, x, y = torch.randn(4, len(strength), generator=generator, device=strength.device) * strength
    scale, angle, middle = 1 + 0.03 * scale, torch.deg2rad(3.0 * angle), CHIP / 2 - 0.5
    cos, sin = scale * angle.cos(), scale * angle.sin()
    first = torch.stack([cos, sin, (1 - cos) * middle - sin * middle + 0.02 * CHIP * x], 1)
    second = torch.stack([-sin, cos, sin * middle + (1 - cos) * middle + 0.02 * CHIP * y], 1)
    return torch.stack([first, second], 1)


def warp(chips: Tensor, matrices: Tensor, mode: str = "bicubic") -> Tensor:
    """Warp chips (N, C, S, S) by matrices (N, 2, 3) that map source to target in 128-pixel chip coordinates.

    Borders are repeated. ``mode`` is that of `torch.nn.functional.grid_sample`.
    """
    # affine_grid takes the inverse mapping in -1..1; pixel p lies at (2 p + 1) / CHIP - 1.
    back, _ = torch.linalg.inv_ex(matrices[:, :, :2])  # unchecked: a check would synchronise with the GPU
    middle = (CHIP - 1) / 2
    away = (back @ (middle - matrices[:, :, 2:]) - middle) / (CHIP / 2)
    theta = torch.cat([back, away], 2)
    grid = F.affine_grid(theta, list(chips.shape), align_corners=False)
    return F.grid_sample(chips, grid.to(chips.dtype), mode=mode, padding_mode="border", align_corners=False)


def warp_points(points: Tensor, matrices: Tensor) -> Tensor:
    """Warp landmarks (N, P, 2) by matrices (N, 2, 3). All-zero rows (no landmarks) stay zero.

    Landmark coordinates have the origin at the edge of the first pixel, matrices at its centre.
    """
    found = points.abs().sum((1, 2), keepdim=True) > 0
    there = (points - 0.5) @ matrices[:, :, :2].mT + matrices[:, None, :, 2] + 0.5
    return torch.where(found, there, torch.zeros_like(there))
