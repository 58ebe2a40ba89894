"""Progressive face super-resolution with landmark attention: generator, critic, landmark network (PFSR, arXiv 1908.08239).

Images are float (N, 3, side, side) RGB in [-1, 1]. A step doubles the side: step 1 returns 32 pixels, 2 returns 64, 3 returns
128. While a step is faded in, ``fade`` in 0..1 blends its output with that of the step before.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIDES = (32, 64, 128)


class EqualConv(nn.Conv2d):
    """3×3 convolution with equalised learning rate (arXiv 1710.10196): weights N(0, 1), scaled by sqrt(2 / fan-in) in use."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(inner, outer, 3, 1, 1)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]
        self.scale = math.sqrt(2 / (inner * 9))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, padding=1)


class EqualizedResidualBlock(nn.Module):
    """Twice equalised convolution, batch norm, ReLU; the identity is added after the second ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [EqualConv(width, width), nn.BatchNorm2d(width), nn.ReLU()]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Generator(nn.Module):
    """(N, 3, 16, 16) -> (N, 3, 32 | 64 | 128, ...) after step 1, 2 or 3. 8,969,097 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 512, 3, 1, 1), nn.BatchNorm2d(512), nn.ReLU())
        widths = (512, 256, 128, 64)
        self.steps = nn.ModuleList(
            nn.Sequential(EqualizedResidualBlock(w), nn.ConvTranspose2d(w, n, 4, 2, 1), nn.BatchNorm2d(n), nn.ReLU())
            for w, n in pairwise(widths)
        )
        self.to_rgb = nn.ModuleList(nn.Conv2d(n, 3, 1) for n in widths[1:])

    def forward(self, x: Tensor, step: int = 3, fade: float = 1.0) -> Tensor:
        features = before = self.stem(x)
        for index in range(step):
            before, features = features, self.steps[index](features)
        picture: Tensor = self.to_rgb[step - 1](features)
        if step > 1 and fade < 1:
            coarse = F.interpolate(self.to_rgb[step - 2](before), scale_factor=2.0, mode="nearest")
            picture = (1 - fade) * coarse + fade * picture
        return picture


class Critic(nn.Module):
    """Image of a step -> (N, 1), high for real ones; mirrors the generator. 8,065,537 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.from_rgb = nn.ModuleList(nn.Conv2d(3, n, 1) for n in (256, 128, 64))
        self.steps = nn.ModuleList(
            nn.Sequential(EqualConv(n, w), nn.LeakyReLU(0.2), EqualConv(w, w), nn.LeakyReLU(0.2), nn.AvgPool2d(2))
            for n, w in ((256, 512), (128, 256), (64, 128))
        )
        self.head = nn.Sequential(EqualConv(513, 512), nn.AvgPool2d(16), nn.Flatten(), nn.Linear(512, 2048), nn.Linear(2048, 1))

    def forward(self, picture: Tensor, step: int = 3, fade: float = 1.0) -> Tensor:
        features = self.steps[step - 1](self.from_rgb[step - 1](picture))
        if step > 1 and fade < 1:
            coarse = self.from_rgb[step - 2](F.avg_pool2d(picture, 2))
            features = (1 - fade) * coarse + fade * features
        for index in range(step - 2, -1, -1):
            features = self.steps[index](features)
        spread = picture.std(0, unbiased=False).mean().expand(len(picture), 1, 16, 16)  # minibatch standard deviation
        score: Tensor = self.head(torch.cat([features, spread], 1))
        return score


class HeatMapNet(nn.Module):
    """The distilled FAN: (N, 3, s, s) in [0, 1] -> 68 heat maps (N, 68, s, s), iBUG order. 321,412 parameters."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 5, 1, 2)]
        for inner, outer in ((32, 64), (64, 128), (128, 128)):
            layers += [nn.Conv2d(inner, outer, 3, 1, 1), nn.BatchNorm2d(outer), nn.LeakyReLU(0.01)]
        self.body = nn.Sequential(*layers, nn.Conv2d(128, 68, 3, 1, 1), nn.LeakyReLU(0.01))

    def forward(self, picture: Tensor) -> Tensor:
        maps: Tensor = self.body(picture)
        return maps


def peaks(maps: Tensor) -> Tensor:
    """Position of each heat map's maximum: (N, 68, s, s) -> (N, 68, 2), x and y in pixels of the map."""
    side = maps.shape[-1]
    place = maps.flatten(2).argmax(2)
    return torch.stack([place % side, place // side], 2).float() + 0.5
