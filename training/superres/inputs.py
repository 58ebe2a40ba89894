"""Training pairs for super-resolution, made on the training device: sharp chips and degraded copies at a resolution level.

An input is either a clean downscaled chip (one of several kernels) or a misaligned, camera-degraded face of any size that the
pipeline assigns to that level. Targets are the sharp chips, augmented by random light and shifts by whole pixels.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.chip import CHIP, LEVEL_MAX_SIDE
from training.common import batched_degradations as batched
from training.common.degradations import CHANNEL_GAIN
from training.data.chips import ChipSet
from training.data.picture_edges import inside
from training.data.priors import mirror_landmarks, parsing_maps

CLEAN_SHARE, FILMED_SHARE = 0.6, 0.25  # clean share of all inputs; H.264 share of camera-degraded inputs
KERNEL_SHARES = {"bicubic": 0.36, "area": 0.34, "bilinear": 0.1, "lanczos": 0.1, "gaussian": 0.1}  # of clean inputs
SHIFT = 4  # largest shift in pixels: covers all sub-pixel shifts of the x8 input
JITTER = 1.5  # largest misalignment of camera-degraded chips (see `jitter_matrices`)
MIN_SIDE = 10  # pixels of the smallest side
MAP_BATCH = 256  # parsing maps per batch of a thread
PARSING = 64  # side of the parsing maps; no network uses larger ones


@dataclass(frozen=True)
class Pairs:
    """One batch.

    Attributes:
        low: inputs float (N, 3, r, r) RGB in 0..1, r the resolution level.
        sharp: targets float (N, 3, 128, 128) RGB in 0..1.
        points: landmarks (N, 68, 2) of the targets in chip pixels.
        parsing: parsing maps (N, regions, 64, 64) of the targets in 0..1, or None.
        inside: bool (N, 1, 128, 128), False where the chip lies outside the source photo.
    """

    low: Tensor
    sharp: Tensor
    points: Tensor
    parsing: Tensor | None
    inside: Tensor


def side_range(level: int) -> tuple[int, int]:
    """Return the smallest and largest chip side in pixels that the pipeline assigns to a resolution level."""
    return max(MIN_SIDE, int(LEVEL_MAX_SIDE.get(level // 2, 0)) + 1), int(LEVEL_MAX_SIDE[level])


class PairMaker:
    """Draws training pairs. On a GPU all chips are held in GPU memory (1.5 GB for 31,000).

    Args:
        chips: the chip set.
        rows: indices int (N,) of the chips to draw from.
        device: ``cpu`` or ``cuda``.
        parsing: also return parsing maps.
        plain: use clean bicubic inputs with mirroring as the only augmentation, as in the papers.
    """

    def __init__(self, chips: ChipSet, rows: NDArray[np.intp], device: str, parsing: bool, plain: bool = False) -> None:
        points = chips.landmarks68()
        self._rows = rows
        self._images = None if device == "cpu" else torch.from_numpy(chips.images[rows]).to(device)
        self._chips = chips.images
        self._points = torch.from_numpy(points[rows]).to(device)
        self._parsing = self._maps(points[rows]).to(device) if parsing else None
        self._edges = chips.edges[rows]
        self._device, self._plain = device, plain

    @staticmethod
    def _maps(points: NDArray[np.float32]) -> Tensor:
        def small(first: int) -> Tensor:
            return F.avg_pool2d(parsing_maps(points[first : first + MAP_BATCH]).float(), CHIP // PARSING).round().byte()

        with ThreadPoolExecutor() as threads:
            return torch.cat(list(threads.map(small, range(0, len(points), MAP_BATCH))))

    def draw(self, level: int, number: int, seed: int) -> Pairs:
        """Draw ``number`` pairs at a resolution level; the same seed draws the same pairs."""
        generator = torch.Generator(self._device).manual_seed(seed)

        def some(low: int, high: int, *shape: int) -> Tensor:
            return torch.randint(low, high, shape, generator=generator, device=self._device)

        rows = some(0, len(self._rows), number)
        images = torch.from_numpy(self._chips[self._rows[rows.numpy()]]) if self._images is None else self._images[rows]
        sharp = images.permute(0, 3, 1, 2).float()
        points, parsing = self._points[rows], None if self._parsing is None else self._parsing[rows].float() / 255
        turned = some(0, 2, number, 1, 1).bool()
        covered = torch.from_numpy(np.stack([inside(each, CHIP) for each in self._edges[rows.cpu().numpy()]])[:, None])
        covered = covered.to(self._device)
        covered = torch.where(turned[..., None], covered.flip(3), covered)
        sharp = torch.where(turned[..., None], sharp.flip(3), sharp)
        points = torch.where(turned, mirror_landmarks(points), points)
        if parsing is not None:
            parsing = torch.where(turned[..., None], parsing.flip(3), parsing)

        if self._plain:
            low = batched.shrink(sharp, torch.full_like(rows, level), "bicubic")[..., :level, :level]
            return Pairs(low / 255, sharp / 255, points, parsing, covered)

        clean = round(CLEAN_SHARE * number)
        seen = torch.arange(number, device=self._device) >= clean
        strength = torch.rand(number, generator=generator, device=self._device) * JITTER * seen
        matrices = batched.jitter_matrices(strength, generator)
        matrices[:, :, 2] += some(-SHIFT, SHIFT + 1, number, 2)
        sharp = batched.warp(batched.relight(sharp, *CHANNEL_GAIN, generator), matrices).round().clamp(0, 255)
        points = batched.warp_points(points, matrices)
        if not covered.all():
            covered = batched.warp(covered.float(), matrices, "bilinear") > 0.99
        if parsing is not None:
            parsing = batched.warp(parsing, matrices, "bilinear")

        least, most = side_range(level)
        sides = torch.where(seen, some(least, most + 1, number), level)
        look = batched.CameraParameters.sample(number - clean, generator, even_exposure=True, video_share=FILMED_SHARE)
        ends = np.round(np.cumsum(list(KERNEL_SHARES.values())) * clean).astype(int)
        parts = [slice(first, end) for first, end in zip((0, *ends), ends, strict=False)]
        canvases = (
            *(batched.shrink(sharp[part], sides[part], kind) for part, kind in zip(parts, KERNEL_SHARES, strict=True)),
            batched.apply_camera(sharp[clean:], sides[clean:], look, generator),
        )
        low = batched.enlarge(torch.cat(canvases), sides, level)
        return Pairs(low / 255, sharp / 255, points, parsing, covered)
