"""The progressive super-resolution student: one network that takes chips of 16, 32 or 64 pixels to 128.

Each step works at its own size and doubles it, as in PFSR (arXiv 1908.08239). Most convolutions run at 16 pixels, where they are
cheap and their receptive field covers the whole face. A larger chip enters losslessly, folded into channels (pixel unshuffle).
The output is the bicubic
enlargement plus a learned residual, so an untrained network equals bicubic.

With ``regions`` it is the teacher of prior knowledge distillation (PKDN, arXiv 2409.14385): the same network also
takes the parsing map of the sharp face at every step. It is used only in training.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import PlainResidualBlock, zero_init
from models.networks.pkdn import ParsingFusion

ENTRY_LEVELS = (16, 32, 64)


class Attention(nn.Module):
    """Self-attention over all positions of the face, for example between the two eyes. It has no effect until trained."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, width)
        self.ask = nn.Conv2d(width, 3 * width, 1)
        self.out = zero_init(nn.Conv2d(width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        n, width, height, across = x.shape
        parts = self.ask(self.norm(x)).reshape(n, 3, self.heads, width // self.heads, height * across).transpose(3, 4)
        mixed = F.scaled_dot_product_attention(*parts.unbind(1))
        out: Tensor = x + self.out(mixed.transpose(2, 3).reshape(n, width, height, across))
        return out


class SuperResNet(nn.Module):
    """The super-resolution network.

    Args:
        widths: channels of the steps at 16, 32 and 64 pixels.
        depths: residual blocks of these steps.
        regions: number of regions of the parsing map, for a teacher; 0: a student.
        attentions: self-attention layers, spread over the step at 16 pixels.

    ``forward`` takes float (N, 3, r, r) in [0, 1], r in 16, 32, 64, and returns (N, 3, 128, 128).
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (128, 64, 40),
        depths: tuple[int, ...] = (6, 5, 4),
        regions: int = 0,
        attentions: int = 2,
    ) -> None:
        super().__init__()
        # A chip of side r enters every step of side s <= r, with (r / s)² of its pixels folded into one position.
        self.entries = nn.ModuleDict(
            {
                f"{r}-{s}": nn.Sequential(nn.PixelUnshuffle(r // s), nn.Conv2d(3 * (r // s) ** 2, w, 3, 1, 1))
                for r in ENTRY_LEVELS
                for s, w in zip(ENTRY_LEVELS, widths, strict=True)
                if s <= r
            }
        )
        # Faces are aligned, so the position is informative.
        self.places = nn.Parameter(torch.zeros(1, widths[0], ENTRY_LEVELS[0], ENTRY_LEVELS[0]))
        self.steps = nn.ModuleList(
            [nn.Sequential(*[PlainResidualBlock(w) for _ in range(d)]) for w, d in zip(widths, depths, strict=True)]
        )
        first: Any = self.steps[0]
        for number in reversed(range(attentions)):
            first.insert((number + 1) * depths[0] // attentions, Attention(widths[0]))
        self.doublings = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(w, 4 * n, 3, 1, 1), nn.PixelShuffle(2)) for w, n in pairwise(widths)]
        )
        self.to_rgb = nn.ModuleDict(
            {
                f"{r}-{2 * s}": nn.Sequential(nn.Conv2d(w, 12, 3, 1, 1), nn.PixelShuffle(2))
                for r in ENTRY_LEVELS
                for s, w in zip(ENTRY_LEVELS, widths, strict=True)
                if s >= r
            }
        )
        for head in self.to_rgb.values():
            conv: Any = head[0]  # type: ignore[index]
            zero_init(conv)
        self.fusions = nn.ModuleList(
            ParsingFusion(w, regions, softmax=s == ENTRY_LEVELS[0]) for s, w in zip(ENTRY_LEVELS, widths, strict=True) if regions
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0][-1]

    def with_features(self, x: Tensor, parsing: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """The intermediate and final outputs, which training compares.

        Args:
            x: float (N, 3, r, r) in [0, 1].
            parsing: for a teacher, the parsing map of the sharp face (N, regions, side, side) in 0..1, side 64 or more.

        Returns:
            The images of all steps above ``r`` pixels, 128 last (in evaluation mode only the last); and the features at 16, 32
            and 64
            pixels.
        """
        entry = x.shape[-1]
        images, seen = [], []
        features = self.places
        for step, side in enumerate(ENTRY_LEVELS):
            if step:
                features = self.doublings[step - 1](features)
            if side <= entry:
                features = features + self.entries[f"{entry}-{side}"](x)
            if parsing is not None:
                features = self.fusions[step](features, parsing)
            features = self.steps[step](features)
            seen.append(features)
            if side >= entry and (self.training or side == ENTRY_LEVELS[-1]):
                base = F.interpolate(x, scale_factor=2 * side / entry, mode="bicubic", align_corners=False)
                images.append(base + self.to_rgb[f"{entry}-{2 * side}"](features))
        return images, seen
