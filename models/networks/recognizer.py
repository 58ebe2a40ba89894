"""The low-resolution recogniser: a chip in, a unit vector and a quality out.

A small residual network in the manner of iResNet (pre-norm blocks, PReLU, no pooling before the
embedding), on 64×64 inputs, because faces this project looks for carry no more detail than that.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.chip import CHIP
from models.networks.iresnet import build_stages, stage_features

VIEW = 112  # the recogniser sees the chip's centre 112 of 128 pixels


class Recognizer(nn.Module):
    """``forward``: float (N, 3, 64, 64) in [-1, 1] -> embedding (N, dim), not normalised, and quality (N,).

    Quality estimates the cosine between this vector and the one a sharp picture of the same face would
    have; it is read off the detached embedding, so that predicting it never bends the embedding.
    ``whitening`` (dim, dim) comes last: what `training.recognizer.wccn` found, and nothing before.
    """

    whitening: Tensor

    def __init__(
        self,
        side: int = 64,
        stem: int = 32,
        widths: tuple[int, ...] = (64, 128, 256),
        depths: tuple[int, ...] = (2, 3, 2),
        dim: int = 256,
    ) -> None:
        super().__init__()
        self.side, self.widths, self.dim = side, widths, dim
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem))
        self.stages = build_stages(stem, widths, depths)
        cells = (side // 2 ** (len(widths) + 1)) ** 2
        self.neck = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.Flatten(), nn.Linear(widths[-1] * cells, dim, bias=False), nn.BatchNorm1d(dim)
        )
        self.quality = nn.Sequential(nn.Linear(dim, 64), nn.ReLU(), nn.Linear(64, 1))
        self.register_buffer("whitening", torch.eye(dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        embedding, _ = self.with_features(x)
        quality: Tensor = self.quality(embedding.detach()).sigmoid()[:, 0]
        return embedding @ self.whitening, quality

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The embedding before its whitening, and the stages' features, which feature-similarity distillation compares."""
        seen = stage_features(self.stages, self.stem(x))
        return self.neck(seen[-1]), seen


def crop_view(chips: Tensor, side: int) -> Tensor:
    """Cut the centre 112/128 of float chips (N, 3, r, r) and scale it to (N, 3, side, side)."""
    level = chips.shape[-1]
    if level * VIEW > side * CHIP:
        margin = (CHIP - VIEW) * level // (2 * CHIP)
        centre = chips[..., margin : level - margin, margin : level - margin]
        return F.interpolate(centre, (side, side), mode="bicubic", align_corners=False, antialias=True)
    # Not cut first: what lies beyond the centre belongs to its edges, of which a 16-pixel chip has most.
    move = VIEW / CHIP * torch.eye(2, 3, device=chips.device).expand(len(chips), 2, 3)
    grid = F.affine_grid(move, [len(chips), 3, side, side], align_corners=False)
    return F.grid_sample(chips, grid, mode="bicubic", padding_mode="border", align_corners=False)
