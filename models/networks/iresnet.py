"""The improved residual networks of F-SKD (arXiv 2303.04681), for those who train with a GPU.

A 3×3 stem without stride, then four stages of 64 to 512 channels, each opening with stride 2: a 112-pixel picture
becomes features of 56, 28, 14 and 7 pixels, which feature-similarity distillation compares.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3)}
SIDE = 112
DIM = 512


class Cbam(nn.Module):
    """Convolutional block attention: a gate for each channel from mean and maximum, then one for each place."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.channel = nn.Sequential(nn.Linear(width, width // reduction), nn.ReLU(), nn.Linear(width // reduction, width))
        self.spatial = nn.Sequential(nn.Conv2d(2, 1, 7, 1, 3, bias=False), nn.BatchNorm2d(1))

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3))))
        x = x * gate[:, :, None, None]
        out: Tensor = x * torch.sigmoid(self.spatial(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))
        return out


class Block(nn.Module):
    """BN, conv, BN, PReLU, conv, BN, attention + shortcut; the second conv carries the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int, cbam: bool = False) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            Cbam(outputs) if cbam else nn.Identity(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + self.shortcut(x)
        return out


def build_stages(inputs: int, widths: tuple[int, ...], depths: tuple[int, ...], cbam: bool = False) -> nn.ModuleList:
    """Stages of so many blocks, each of which opens with stride 2."""
    stages = nn.ModuleList()
    for width, depth in zip(widths, depths, strict=True):
        stages.append(nn.Sequential(Block(inputs, width, 2, cbam), *[Block(width, width, 1, cbam) for _ in range(depth - 1)]))
        inputs = width
    return stages


def init_from_shallower(grown: nn.Module, less: nn.Module) -> None:
    """Give a network the weights of one with fewer blocks a stage: what is added does nothing at first, as its last norm's scale
    is 0 (Net2Net, arXiv 1511.05641). Raises ValueError if they differ in anything else."""
    missing, foreign = grown.load_state_dict(less.state_dict(), strict=False)
    stages: nn.ModuleList = grown.stages  # type: ignore[assignment]
    before: nn.ModuleList = less.stages  # type: ignore[assignment]
    added = {}
    for number, (stage, known) in enumerate(zip(stages, before, strict=True)):
        added |= {f"stages.{number}.{place}.": stage[place] for place in range(len(known), len(stage))}
    if foreign or not all(key.startswith(tuple(added)) for key in missing):
        raise ValueError(f"not the same network with fewer blocks: {', '.join([*foreign, *missing][:3])}")
    for block in added.values():
        last = [module for module in block.body if isinstance(module, nn.BatchNorm2d)][-1]
        nn.init.zeros_(last.weight)


def stage_features(stages: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """What each stage makes of the one before it."""
    seen = []
    for stage in stages:
        x = stage(x)
        seen.append(x)
    return seen


class IResNet(nn.Module):
    """``forward``: float (N, 3, 112, 112) in [-1, 1] -> embedding (N, 512), not normalised.

    ``depth`` 18 or 50. ``pooled``: the embedding is the mean of the last features (head A); else batch norm, linear and batch
    norm with a frozen scale (head E).
    """

    def __init__(self, depth: int = 18, cbam: bool = False, pooled: bool = False) -> None:
        super().__init__()
        self.side, self.widths, self.dim = SIDE, WIDTHS, DIM
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.PReLU(WIDTHS[0]))
        self.stages = build_stages(WIDTHS[0], WIDTHS, DEPTHS[depth], cbam)
        if pooled:
            self.head: nn.Module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        else:
            scale = nn.BatchNorm1d(DIM)
            scale.weight.requires_grad_(False)
            self.head = nn.Sequential(
                nn.BatchNorm2d(WIDTHS[-1]), nn.Flatten(), nn.Linear(WIDTHS[-1] * (SIDE // 16) ** 2, DIM), scale
            )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The embedding and the four stages' features."""
        seen = stage_features(self.stages, self.stem(x))
        return self.head(seen[-1]), seen
