"""The improved residual networks of F-SKD (arXiv 2303.04681), for training on a GPU.

A 3×3 stem without stride, then four stages of 64 to 512 channels, each of which starts with stride 2: a 112-pixel image becomes
features of 56, 28, 14 and 7 pixels, which feature-similarity distillation compares.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512)
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 14, 3)}
SIDE = 112
DIM = 512


class Cbam(nn.Module):
    """Convolutional block attention (CBAM, arXiv 1807.06521): a gate for each channel, then one for each pixel."""

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
    """BN, conv, BN, PReLU, conv, BN, attention, plus the shortcut; the second convolution has the stride."""

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
    """Build stages of ``depths`` blocks and ``widths`` channels; the first block of each has stride 2."""
    stages = nn.ModuleList()
    for width, depth in zip(widths, depths, strict=True):
        stages.append(nn.Sequential(Block(inputs, width, 2, cbam), *[Block(width, width, 1, cbam) for _ in range(depth - 1)]))
        inputs = width
    return stages


def init_from_shallower(deeper: nn.Module, shallower: nn.Module) -> None:
    """Initialise a network from one with fewer blocks a stage (Net2Net, arXiv 1511.05641), in place.

    The scale of an added block's last batch norm is 0, so that the block has no effect at first.

    Args:
        deeper: the network to initialise.
        shallower: the trained network.

    Raises:
        ValueError: if they differ in anything but the number of blocks.
    """
    missing, foreign = deeper.load_state_dict(shallower.state_dict(), strict=False)
    stages: Any = deeper.stages
    before: Any = shallower.stages
    added: dict[str, Any] = {}
    for number, (stage, known) in enumerate(zip(stages, before, strict=True)):
        added |= {f"stages.{number}.{place}.": stage[place] for place in range(len(known), len(stage))}
    if foreign or not all(key.startswith(tuple(added)) for key in missing):
        raise ValueError(f"not the same network with fewer blocks: {', '.join([*foreign, *missing][:3])}")
    for block in added.values():
        last = [module for module in block.body if isinstance(module, nn.BatchNorm2d)][-1]
        nn.init.zeros_(last.weight)


def stage_features(stages: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """Outputs of all stages, applied in sequence."""
    features = []
    for stage in stages:
        x = stage(x)
        features.append(x)
    return features


class IResNet(nn.Module):
    """A recogniser of the F-SKD paper.

    Args:
        depth: 18 or 50 layers.
        cbam: whether blocks have attention.
        pooled: True: the embedding is the mean of the last features (head A). False: batch norm, linear layer and a batch norm
            with a
            frozen scale (head E).

    ``forward`` takes float (N, 3, 112, 112) in [-1, 1] and returns embeddings (N, 512), not normalised.
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
        """The embeddings, and the features of the four stages."""
        features = stage_features(self.stages, self.stem(x))
        return self.head(features[-1]), features
