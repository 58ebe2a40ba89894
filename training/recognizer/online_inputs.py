"""Training inputs of the recogniser, made in batches on the training device.

Sizes, cameras and misalignment are distributed as in `training.recognizer.inputs`. The share of sharp faces is higher, and some
small faces are super-resolved.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.chip import CHIP, FUSED_LEVELS, LEVEL_MAX_SIDE
from models.networks.recognizer import crop_view
from training.common import batched_degradations as batched
from training.common.degradations import CHANNEL_GAIN
from training.recognizer.inputs import CAMERA_SHARES, GREY_SHARE, LARGEST, SMALLEST

SHARP_SHARE = 0.25  # share of faces at full size, from which the student learns fastest
SUPERRES_SHARE = 0.1  # share of faces that are made small and super-resolved
GREYS = 0.299, 0.587, 0.114


class Cameras:
    """Makes degraded recogniser inputs from sharp faces.

    Args:
        side: side of the recogniser's input in pixels.
        generator: random generator on the training device.
        restorer: super-resolution network; None disables super-resolution.
    """

    def __init__(self, side: int, generator: torch.Generator, restorer: nn.Module | None = None) -> None:
        self.side, self.generator, self.restorer = side, generator, restorer
        self._greys = torch.tensor(GREYS, device=generator.device)[:, None, None]

    def views(self, faces: Tensor) -> Tensor:
        """Degrade faces and crop the recogniser's inputs.

        Args:
            faces: float (N, 3, 128, 128) RGB in 0..255.

        Returns:
            float (N, 3, side, side) in [-1, 1], in the same order.
        """
        levels = self._levels(len(faces))
        order = torch.randperm(len(faces), generator=self.generator, device=faces.device)
        canvas, sides = self.degrade(faces[order], levels)
        views, first = torch.empty(len(faces), 3, self.side, self.side, device=faces.device), sum(levels)
        views[order[first:]] = batched.recognizer_view(canvas[first:], sides[first:], self.side) / 127.5 - 1
        parts = [each.split(levels) for each in (canvas[:first], sides[:first], order[:first])]
        for level, low, small, where in zip(FUSED_LEVELS, *parts, strict=True):
            if len(where):
                views[where] = self._restored(low, small, level)
        return views

    def degrade(self, faces: Tensor, levels: list[int]) -> tuple[Tensor, Tensor]:
        """Degrade faces.

        Args:
            faces: float (N, 3, 128, 128) RGB in 0..255.
            levels: number of faces to make small for each level of `models.chip.FUSED_LEVELS`; they are taken from the start.

        Returns:
            Canvases (N, 3, 128, 128) and the sides int64 (N,) of the images on them.
        """
        sides = self._sides(len(faces), levels)
        faces = batched.relight(faces, *CHANNEL_GAIN, self.generator)
        faces = batched.warp(faces, batched.jitter_matrices((32 / sides).clamp(0.3, 1.6), self.generator))
        order = torch.randperm(len(faces), generator=self.generator, device=faces.device)
        filmed, photographed, area, _ = (round(share * len(faces)) for share in CAMERA_SHARES["video"])
        parts = order.tensor_split((filmed, filmed + photographed, filmed + photographed + area))
        canvas = torch.empty_like(faces)
        for part, share in zip(parts[:2], (1.0, 0.0), strict=True):
            look = batched.CameraParameters.sample(len(part), self.generator, video_share=share)
            canvas[part] = batched.apply_camera(faces[part], sides[part], look, self.generator)
        whole = (sides[parts[0]] == CHIP)[:, None, None, None]  # no H.264 for faces of full size
        canvas[parts[0]] = torch.where(whole, faces[parts[0]].round().clamp(0, 255), canvas[parts[0]])
        for part, kind in zip(parts[2:], ("area", "bicubic"), strict=True):
            canvas[part] = batched.shrink(faces[part], sides[part], kind)
        grey = torch.rand(len(faces), 1, 1, 1, generator=self.generator, device=faces.device) < GREY_SHARE
        return torch.where(grey, (canvas * self._greys).sum(1, keepdim=True).round(), canvas), sides

    def _levels(self, number: int) -> list[int]:
        """Return how many of ``number`` faces to super-resolve from each level, for log-uniform sizes."""
        if self.restorer is None:
            return [0] * len(FUSED_LEVELS)
        edges = np.log([SMALLEST, *(LEVEL_MAX_SIDE[level] for level in FUSED_LEVELS)])
        return [round(SUPERRES_SHARE * number * part) for part in np.diff(edges) / (edges[-1] - edges[0])]

    def _sides(self, number: int, levels: list[int]) -> Tensor:
        drawn = torch.rand(2, number, generator=self.generator, device=self.generator.device)
        sides = torch.where(drawn[0] < SHARP_SHARE, CHIP, (SMALLEST * (LARGEST / SMALLEST) ** drawn[1]).long())
        least, first = SMALLEST, 0
        for level, count in zip(FUSED_LEVELS, levels, strict=True):
            part, most = slice(first, first + count), int(LEVEL_MAX_SIDE[level])
            sides[part] = (least * ((most + 1) / least) ** drawn[1, part]).long().clamp(max=most)
            least, first = most + 1, first + count
        return sides

    def _restored(self, canvas: Tensor, sides: Tensor, level: int) -> Tensor:
        """Super-resolve small faces from their level and crop the recogniser's inputs."""
        assert self.restorer is not None
        low = batched.enlarge(canvas, sides, level).div(255).to(next(self.restorer.parameters()).dtype)
        sharp = self.restorer(low.contiguous(memory_format=torch.channels_last)).float()
        return crop_view(sharp.mul(255).round().clamp(0, 255) / 127.5 - 1, self.side)
