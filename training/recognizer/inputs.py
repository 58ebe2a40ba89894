"""Training inputs of the recogniser: misaligned chips, degraded by random cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.chip import FUSED_LEVELS, LEVEL_MAX_SIDE, level_for_side
from training.common import degradations

LOOKS = ("video", "cctv", "fskd-nearest", "fskd-any-kernel")
FSKD_SIDES = (14, 28, 56, 112)
SMALLEST, LARGEST = 13, 100
SHARP_SHARE = 0.2  # share of chips at full size
CAMERA_SHARES = {
    "video": (0.35, 0.3, 0.2, 0.15),
    "cctv": (0.0, 0.6, 0.25, 0.15),
}  # shares of H.264, CCTV with JPEG, area, bicubic
GREY_SHARE = 0.1

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class Inputs:
    """One batch.

    Attributes:
        seen: uint8 (N, side, side, 3) RGB, recogniser inputs cropped from degraded chips.
        sharp: uint8 (N, side, side, 3) RGB, recogniser inputs of the same chips without degradation.
        to_restore: chips to super-resolve, one entry per resolution level r: row numbers (n,) and chips uint8 (n, r, r, 3).
    """

    seen: torch.Tensor
    sharp: torch.Tensor
    to_restore: list[tuple[torch.Tensor, NDArray[np.uint8]]]


def make_inputs(
    chips: Sequence[Image], side: int, progress: float, rng: np.random.Generator, look: str = "video", restored: int = 0
) -> Inputs:
    """Make a batch.

    Args:
        chips: sharp chips uint8 (128, 128, 3) RGB.
        side: side of the recogniser's input in pixels.
        progress: share of the run done, 0..1. The smallest face shrinks from 48 to 13 pixels over the first third.
        rng: source of random cameras and sizes.
        look: degradation, one of `LOOKS`.
        restored: number of chips to super-resolve. The last ``restored`` chips are made small for it.
    """
    if look in CAMERA_SHARES:
        chips = [degradations.relight(random_flip(chip, rng), rng) for chip in chips]
        chips, small = apply_cameras(chips, progress, rng, look, restored)
    else:
        chips = [random_flip(chip, rng) for chip in chips]
        small = [fskd_degrade(chip, look, rng) for chip in chips]
    to_restore = []
    for level in FUSED_LEVELS:
        rows = [row for row in range(len(small) - restored, len(small)) if level_for_side(small[row].shape[0]) == level]
        if rows:
            low = np.stack([cv2.resize(small[row], (level, level), interpolation=cv2.INTER_CUBIC) for row in rows])
            to_restore.append((torch.tensor(rows), low))
    views = [torch.from_numpy(np.stack([recognizer_view(picture, side) for picture in pictures])) for pictures in (small, chips)]
    return Inputs(views[0], views[1], to_restore)


def random_flip(chip: Image, rng: np.random.Generator) -> Image:
    """Mirror a chip with probability 0.5."""
    return np.ascontiguousarray(chip[:, ::-1] if rng.random() < 0.5 else chip)


def apply_cameras(
    chips: Sequence[Image], progress: float, rng: np.random.Generator, look: str, restored: int
) -> tuple[list[Image], list[Image]]:
    """Misalign chips and degrade them; returns the misaligned chips (128, 128, 3) and the degraded ones (s, s, 3)."""
    # Curriculum: the smallest face falls from 48 to 13 pixels over the first third.
    least = SMALLEST + max(0.0, 1 - 3 * progress) * (48 - SMALLEST)
    sizes, moved = [], []
    for number, chip in enumerate(chips):
        if number >= len(chips) - restored:
            size = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(LEVEL_MAX_SIDE[FUSED_LEVELS[-1]]))))
        else:
            size = degradations.CHIP if rng.random() < SHARP_SHARE else int(np.exp(rng.uniform(np.log(least), np.log(LARGEST))))
        sizes.append(size)
        moved.append(degradations.jitter(chip, float(np.clip(32 / size, 0.3, 1.6)), rng))
    kinds = rng.choice(4, len(chips), p=CAMERA_SHARES[look])
    small = [photograph(chip, size, kind, rng) for chip, size, kind in zip(moved, sizes, kinds, strict=True)]
    video = [row for row, size in enumerate(sizes) if kinds[row] == 0 and size <= LARGEST]
    if video:
        from training.common.video_codec import film_chips  # PyAV is optional for training

        for row, chip in zip(video, film_chips([moved[r] for r in video], [sizes[r] for r in video], rng), strict=True):
            small[row] = chip
    for row in np.flatnonzero(rng.random(len(small)) < GREY_SHARE):
        small[row] = cv2.cvtColor(cv2.cvtColor(small[row], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return moved, small


def photograph(chip: Image, size: int, kind: int, rng: np.random.Generator) -> Image:
    """Degrade a chip to (size, size, 3): by `degradations.cctv` (kind 1), bicubic (kind 3) or area sampling (otherwise)."""
    preset = degradations.cctv if kind == 1 else degradations.bicubic if kind == 3 else degradations.area
    return preset(chip, size, rng)


def fskd_degrade(chip: Image, preset: str, rng: np.random.Generator) -> Image:
    """Degrade as F-SKD does: shrink to one of four sizes and enlarge again, both with the kernels of the preset."""
    size = int(rng.choice(FSKD_SIDES)) * 128 // 112
    return degradations.PRESETS[preset](degradations.PRESETS[preset](chip, size, rng), 128, rng)


def recognizer_view(small: Image, side: int) -> Image:
    """Crop the recogniser's input (side, side, 3) from a chip of any size: the centre 112/128, resampled."""
    size = small.shape[0]
    scale = side / size * 128 / 112
    if scale < 1:
        margin = round(size / 16)
        return cv2.resize(small[margin : size - margin, margin : size - margin], (side, side), interpolation=cv2.INTER_AREA)
    away = side / 2 - 0.5 - scale * (size / 2 - 0.5)
    move = np.array([[scale, 0, away], [0, scale, away]])
    return cv2.warpAffine(small, move, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
