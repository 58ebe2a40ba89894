"""The progressive super-resolution student: one network that enters the ladder at 16, 32 or 64 and climbs to 128.

Each step works at its own size and doubles it, as in PFSR (arXiv 1908.08239), but most convolutions sit at
the small sizes, where they are cheap. What comes out is the bicubic enlargement plus a learned residual, so an
untrained network is already as good as bicubic.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

ENTRIES = (16, 32, 64)


class Residual(nn.Module):
    """conv, ReLU, conv + identity; no normalisation, which would wash out contrast."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out


class SuperResNet(nn.Module):
    """``forward``: float (N, 3, r, r) in [0, 1], r in {16, 32, 64} -> pictures at 2r, 4r, ... 128, smallest first."""

    def __init__(self, widths: tuple[int, ...] = (96, 64, 40), depths: tuple[int, ...] = (8, 4, 2), last: int = 24) -> None:
        super().__init__()
        self.entries = nn.ModuleDict({str(r): nn.Conv2d(3, w, 3, 1, 1) for r, w in zip(ENTRIES, widths, strict=True)})
        self.steps = nn.ModuleList([nn.Sequential(*[Residual(w) for _ in range(d)]) for w, d in zip(widths, depths, strict=True)])
        following = (*widths[1:], last)
        self.doublings = nn.ModuleList(
            [nn.Sequential(nn.Conv2d(w, 4 * n, 3, 1, 1), nn.PixelShuffle(2)) for w, n in zip(widths, following, strict=True)]
        )
        self.to_rgb = nn.ModuleList([nn.Sequential(nn.ReLU(), nn.Conv2d(n, 3, 3, 1, 1)) for n in following])
        self.last = Residual(last)
        for head in self.to_rgb:
            nn.init.zeros_(head[1].weight)
            nn.init.zeros_(head[1].bias)

    def forward(self, x: Tensor) -> list[Tensor]:
        start = ENTRIES.index(x.shape[-1])
        features = self.entries[str(x.shape[-1])](x)
        pictures = []
        for step in range(start, len(ENTRIES)):
            features = self.doublings[step](self.steps[step](features))
            if step == len(ENTRIES) - 1:
                features = self.last(features)
            side = features.shape[-1]
            base = F.interpolate(x, (side, side), mode="bicubic", align_corners=False)
            if self.training or step == len(ENTRIES) - 1:
                pictures.append(base + self.to_rgb[step](features))
        return pictures
