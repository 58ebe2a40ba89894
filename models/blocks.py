"""Building blocks that several networks share."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

HALF_RANGE = 127.5  # half the range of uint8 pixels; networks take [-1, 1]


def conv_bn_relu(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU; "same" padding for odd sizes."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, (size - stride + 1) // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class ResidualBlock(nn.Module):
    """The basic block of ResNet (arXiv 1512.03385): two 3x3 convolutions with batch norm, identity, ReLU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_bn_relu(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(self.first(x)))


class PlainResidualBlock(nn.Module):
    """The residual block of EDSR (arXiv 1707.02921): conv, ReLU, conv, identity. Batch norm would remove contrast.

    The second convolution starts at zero, so the block starts as the identity. This allows a high learning rate.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, 1, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.relu(self.first(x)))
        return out


def zero_init(layer: nn.Conv2d) -> nn.Conv2d:
    """Set weights and bias to zero, so that a branch added to a trained network has no effect initially."""
    assert layer.bias is not None
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class FpnJoin(nn.Module):
    """FPN join (arXiv 1612.03144): add the 2x nearest-upsampled coarse map to the fine one."""

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        return fine + F.interpolate(coarse, scale_factor=2.0)
