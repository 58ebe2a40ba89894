"""The small-face detector: an anchor-free, fully convolutional network with strides 4, 8 and 16.

Each cell predicts the score of a face centred on it, the distances to the box's sides and the five landmarks (as FCOS,
arXiv 1904.01355, does for boxes). Stride 4 is for faces of 8 to 24 pixels, which coarser grids cannot separate.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import HALF_RANGE, FpnJoin, ResidualBlock, conv_bn_relu

STRIDES = (4, 8, 16)
OUTPUTS = 1 + 4 + 10  # values per cell: score, box, landmarks
FAST: dict[str, Any] = {"widths": (32, 32, 64, 96), "depths": (1, 1, 1), "stem": 4}  # `detector-fast`: half the computation


class DetectorNet(nn.Module):
    """The detector network.

    Args:
        widths: channels at strides 4, 8, 16 and 32.
        depths: residual blocks at strides 8, 16 and 32.
        stem: kernel size of the first convolution, which has stride 4.

    ``forward`` takes float (N, 3, H, W) in [-1, 1], H and W multiples of 32, and returns one map for each of `STRIDES`:
    (N, 15, H/s, W/s). Its channels are the score logit; the log of the distances to left, top, right and bottom, in strides;
    and the five landmarks as offsets from the cell's centre, in strides.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (32, 48, 80, 112),
        depths: tuple[int, ...] = (1, 2, 1),
        stem: int = 6,
    ) -> None:
        super().__init__()
        w4, w8, w16, w32 = widths
        self.stem = conv_bn_relu(3, w4, stem, stride=4)
        first: Any = self.stem[0]
        self.stem_padding: int = first.padding[0]
        self.stages = nn.ModuleList(
            nn.Sequential(conv_bn_relu(inputs, outputs, stride=2), *(ResidualBlock(outputs) for _ in range(depth)))
            for inputs, outputs, depth in zip(widths, widths[1:], depths, strict=False)
        )
        self.down16 = conv_bn_relu(w32, w16, 1)
        self.join16, self.join8 = FpnJoin(), FpnJoin()
        self.merge16 = conv_bn_relu(w16, w16)
        self.down8 = conv_bn_relu(w16, w8, 1)
        self.merge8 = conv_bn_relu(w8, w8)
        # One cell of stride 8 predicts its four cells of stride 4: this saves a whole level of wide maps.
        heads = nn.Conv2d(w8, 4 * OUTPUTS, 1), nn.Conv2d(w8, OUTPUTS, 1), nn.Conv2d(w16, OUTPUTS, 1)
        self.heads = nn.ModuleList(heads)
        for head in heads:
            cells = head.out_channels // OUTPUTS
            nn.init.normal_(head.weight, std=0.01)
            bias = torch.zeros(OUTPUTS)
            bias[0] = -4.6  # initial score 0.01
            bias[1:5] = 0.7
            assert head.bias is not None
            head.bias.data.copy_(bias.repeat_interleave(cells))

    def forward(self, x: Tensor) -> list[Tensor]:
        fine, middle, coarse = self.folded_maps(x)
        return [F.pixel_shuffle(fine, 2), middle, coarse]

    def folded_maps(self, x: Tensor) -> list[Tensor]:
        """The maps of ``forward``, the finest before its pixel shuffle: (N, 15·4, H/8, W/8), with the four cells of each value in
        adjacent channels."""
        f8 = self.stages[0](self.stem(x))
        f16 = self.stages[1](f8)
        f32 = self.stages[2](f16)
        f16 = self.merge16(self.join16(f16, self.down16(f32)))
        f8 = self.merge8(self.join8(f8, self.down8(f16)))
        return [head(f) for head, f in zip(self.heads, (f8, f8, f16), strict=True)]


def accept_uint8(net: DetectorNet) -> DetectorNet:
    """Fold the scaling of uint8 images into the first convolution, in place, which saves a separate pass.

    Args:
        net: a detector with its batch norms folded.

    Returns:
        The same network. It takes values 0..255 in its own dtype, with ``stem_padding`` pixels of grey around them.
    """
    stem: Any = net.stem[0]
    weight = (stem.weight.data / HALF_RANGE).to(stem.weight.dtype)
    stem.bias.data = (stem.bias.data.float() - HALF_RANGE * weight.float().sum((1, 2, 3))).to(weight.dtype)
    stem.weight.data, stem.padding = weight, (0, 0)
    return net


def decode_cells(values: Tensor, centres: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Decode cell outputs (M, 14) at cell centres (M, 2) into boxes (M, 4) and landmarks (M, 5, 2), in pixels."""
    distances = values[:, :4].clamp(max=6).exp() * stride
    boxes = torch.cat([centres - distances[:, :2], centres + distances[:, 2:]], 1)
    landmarks = centres[:, None] + values[:, 4:].reshape(-1, 5, 2) * stride
    return boxes, landmarks


def cell_centres(height: int, width: int, stride: int, device: torch.device | str = "cpu") -> Tensor:
    """Centres (height, width, 2) of a map's cells, x and y in pixels; pixel centres have integer coordinates."""
    y, x = torch.meshgrid(torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij")
    return torch.stack([x, y], -1) * float(stride) + (stride - 1) / 2
