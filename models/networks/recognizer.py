"""The low-resolution recogniser: a network that maps a chip to an embedding and a quality.

A small residual network after iResNet (pre-norm blocks, PReLU, no pooling before the embedding). Its input is 64×64 pixels,
because the target faces carry no more detail.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.chip import CHIP
from models.networks.iresnet import build_stages, stage_features

VIEW = 112  # central pixels of a 128 chip that form a recogniser's input


class Recognizer(nn.Module):
    """The recogniser network.

    Args:
        side: side of the input, in pixels.
        stem: channels of the first convolution.
        widths: channels of the stages.
        depths: blocks of the stages.
        dim: length of an embedding.

    ``forward`` takes float (N, 3, side, side) in [-1, 1] and returns embeddings (N, dim), not normalised, and qualities (N,). A
    quality predicts the cosine to the embedding of a sharp image of the same face. It is computed from the detached embedding,
    so that training it does not change the embedding.

    ``whitening`` (dim, dim) is the WCCN matrix of `training.recognizer.wccn`, applied as the last step; it is the identity until
    it is measured.
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
        """The embeddings before WCCN, and the features of the stages, which feature-similarity distillation compares."""
        features = stage_features(self.stages, self.stem(x))
        return self.neck(features[-1]), features


def crop_view(chips: Tensor, side: int) -> Tensor:
    """Resize the centre 112/128 of float chips (N, 3, r, r) to a recogniser's input (N, 3, side, side)."""
    level = chips.shape[-1]
    if level * VIEW > side * CHIP:
        margin = (CHIP - VIEW) * level // (2 * CHIP)
        centre = chips[..., margin : level - margin, margin : level - margin]
        return F.interpolate(centre, (side, side), mode="bicubic", align_corners=False, antialias=True)
    # Interpolate on the whole chip: pixels outside the crop affect its edges, which are most of a 16-pixel chip.
    move = VIEW / CHIP * torch.eye(2, 3, device=chips.device).expand(len(chips), 2, 3)
    grid = F.affine_grid(move, [len(chips), 3, side, side], align_corners=False)
    return F.grid_sample(chips, grid, mode="bicubic", padding_mode="border", align_corners=False)
