"""What the recogniser sees in training, `training.recognizer.inputs` for whole batches on the device that trains: the same sizes,
kinds of cameras and misplaced landmarks, some more whole faces, and small ones as the super-resolution student draws them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from models.chip import CHIP, FUSED_LEVELS, LEVEL_MAX_SIDE
from models.networks.recognizer import crop_view
from training.common import batched_degradations as batched
from training.common.degradations import CHANNEL_GAIN
from training.recognizer.inputs import CAMERA_SHARES, GREY_SHARE, LARGEST, SMALLEST

SHARP_SHARE = 0.25  # share of whole faces: of these the student learns soonest what the teacher looks for
SUPERRES_SHARE = 0.1  # share of faces that are small and shown super-resolved
GREYS = 0.299, 0.587, 0.114


class Cameras:
    """Turns sharp faces into the recogniser's views of them; ``restorer`` is the super-resolution student, if some are to be
    shown as it draws them."""

    def __init__(self, side: int, generator: torch.Generator, restorer: nn.Module | None = None) -> None:
        self.side, self.generator, self.restorer = side, generator, restorer
        self._greys = torch.tensor(GREYS, device=generator.device)[:, None, None]

    def views(self, faces: Tensor) -> Tensor:
        """Faces, float (N, 3, 128, 128) RGB 0..255 -> float (N, 3, side, side) in [-1, 1], in their order."""
        rungs = self._rungs(len(faces))
        order = torch.randperm(len(faces), generator=self.generator, device=faces.device)
        canvas, sides = self.degrade(faces[order], rungs)
        views, first = torch.empty(len(faces), 3, self.side, self.side, device=faces.device), sum(rungs)
        views[order[first:]] = batched.recognizer_view(canvas[first:], sides[first:], self.side) / 127.5 - 1
        parts = [each.split(rungs) for each in (canvas[:first], sides[:first], order[:first])]
        for rung, low, small, where in zip(FUSED_LEVELS, *parts, strict=True):
            if len(where):
                views[where] = self._restored(low, small, rung)
        return views

    def degrade(self, faces: Tensor, rungs: list[int]) -> tuple[Tensor, Tensor]:
        """Faces as cameras leave them, on canvases, and their sides (N,) in pixels; the first are of `FUSED_LEVELS`, so
        many of each."""
        sides = self._sides(len(faces), rungs)
        faces = batched.relight(faces, *CHANNEL_GAIN, self.generator)
        faces = batched.warp(faces, batched.jitter_matrices((32 / sides).clamp(0.3, 1.6), self.generator))
        order = torch.randperm(len(faces), generator=self.generator, device=faces.device)
        filmed, photographed, area, _ = (round(share * len(faces)) for share in CAMERA_SHARES["video"])
        parts = order.tensor_split((filmed, filmed + photographed, filmed + photographed + area))
        canvas = torch.empty_like(faces)
        for part, share in zip(parts[:2], (1.0, 0.0), strict=True):
            look = batched.CameraParameters.sample(len(part), self.generator, video_share=share)
            canvas[part] = batched.apply_camera(faces[part], sides[part], look, self.generator)
        whole = (sides[parts[0]] == CHIP)[:, None, None, None]  # no clip shows a face that large
        canvas[parts[0]] = torch.where(whole, faces[parts[0]].round().clamp(0, 255), canvas[parts[0]])
        for part, kind in zip(parts[2:], ("area", "bicubic"), strict=True):
            canvas[part] = batched.shrink(faces[part], sides[part], kind)
        grey = torch.rand(len(faces), 1, 1, 1, generator=self.generator, device=faces.device) < GREY_SHARE
        return torch.where(grey, (canvas * self._greys).sum(1, keepdim=True).round(), canvas), sides

    def _rungs(self, number: int) -> list[int]:
        """How many of so many faces are restored from each rung: sizes are even on a scale of logarithms."""
        if self.restorer is None:
            return [0] * len(FUSED_LEVELS)
        edges = np.log([SMALLEST, *(LEVEL_MAX_SIDE[rung] for rung in FUSED_LEVELS)])
        return [round(SUPERRES_SHARE * number * part) for part in np.diff(edges) / (edges[-1] - edges[0])]

    def _sides(self, number: int, rungs: list[int]) -> Tensor:
        drawn = torch.rand(2, number, generator=self.generator, device=self.generator.device)
        sides = torch.where(drawn[0] < SHARP_SHARE, CHIP, (SMALLEST * (LARGEST / SMALLEST) ** drawn[1]).long())
        least, first = SMALLEST, 0
        for rung, count in zip(FUSED_LEVELS, rungs, strict=True):
            part, most = slice(first, first + count), int(LEVEL_MAX_SIDE[rung])
            sides[part] = (least * ((most + 1) / least) ** drawn[1, part]).long().clamp(max=most)
            least, first = most + 1, first + count
        return sides

    def _restored(self, canvas: Tensor, sides: Tensor, rung: int) -> Tensor:
        """The view of what the super-resolution student makes of small faces at their rung."""
        assert self.restorer is not None
        low = batched.enlarge(canvas, sides, rung).div(255).to(next(self.restorer.parameters()).dtype)
        sharp = self.restorer(low.contiguous(memory_format=torch.channels_last)).float()
        return crop_view(sharp.mul(255).round().clamp(0, 255) / 127.5 - 1, self.side)
