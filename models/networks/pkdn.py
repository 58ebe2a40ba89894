"""Prior knowledge distillation for face super-resolution (PKDN, arXiv 2409.14385): teacher and student.

Both take the low-resolution face enlarged to 128 pixels (bicubic), float (N, 3, 128, 128) in [0, 1], and return an image of that
size. The teacher also takes the parsing map of the sharp face, so its results are upper bounds. The paper names its blocks
but does not specify them in detail: widths, depths and attention layers are our interpretation.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import zero_init

WIDTH = 64
LEVELS = 3


class ChannelGate(nn.Module):
    """Weight each channel by its mean: squeeze and excitation (arXiv 1709.01507)."""

    def __init__(self, width: int, reduction: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(width, width // reduction, 1),
            nn.ReLU(),
            nn.Conv2d(width // reduction, width, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.body(x)
        return out


class SpatialGate(nn.Module):
    """Weight each pixel by the mean and the maximum over its channels (7×7)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 7, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        out: Tensor = x * torch.sigmoid(self.conv(pooled))
        return out


class CrossAttention(nn.Module):
    """Softmax cross-attention: queries are the face's pixels, keys are those of the parsing map."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.value, self.out = (nn.Conv2d(width, width, 1) for _ in range(3))
        self.key = nn.Conv2d(width, width, 1)
        zero_init(self.out)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        n, width, height, _ = x.shape

        def split(t: Tensor) -> Tensor:
            return t.reshape(n, self.heads, width // self.heads, -1).transpose(2, 3)

        mixed = F.scaled_dot_product_attention(split(self.query(x)), split(self.key(prior)), split(self.value(prior)))
        out: Tensor = x + self.out(mixed.transpose(2, 3).reshape(n, width, height, -1))
        return out


class ParsingFusion(nn.Module):
    """Parsing-map fusion block: add the prior to the features, weighted by channel and spatial attention.

    With ``softmax``, a cross-attention follows. Its cost grows with the square of the number of pixels.
    """

    def __init__(self, width: int, regions: int, softmax: bool = False) -> None:
        super().__init__()
        self.prior = nn.Sequential(nn.Conv2d(regions, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1))
        self.face = nn.Conv2d(width, width, 3, 1, 1)
        self.join = nn.Conv2d(2 * width, width, 1)
        self.channel, self.spatial = ChannelGate(width), SpatialGate()
        self.out = zero_init(nn.Conv2d(2 * width, width, 1))
        self.attention = CrossAttention(width) if softmax else None

    def forward(self, x: Tensor, parsing: Tensor) -> Tensor:
        prior = self.prior(F.interpolate(parsing, x.shape[-2:], mode="area"))
        joined = self.join(torch.cat([self.face(x), prior], 1))
        out: Tensor = x + self.out(torch.cat([self.channel(joined), self.spatial(joined)], 1))
        return out if self.attention is None else self.attention(out, prior)


class FeatureFusion(nn.Module):
    """Feature fusion block: add the encoder's features of all scales to the decoder."""

    def __init__(self, width: int, scales: int) -> None:
        super().__init__()
        self.join = nn.Sequential(nn.Conv2d((scales + 1) * width, width, 1), nn.Conv2d(width, width, 3, 1, 1))
        self.channel, self.spatial = ChannelGate(width), SpatialGate()

    def forward(self, x: Tensor, encoded: list[Tensor]) -> Tensor:
        side = x.shape[-1]
        resized = [F.interpolate(e, (side, side), mode="area" if e.shape[-1] > side else "bilinear") for e in encoded]
        out: Tensor = x + self.spatial(self.channel(self.join(torch.cat([x, *resized], 1))))
        return out


class Rcab(nn.Module):
    """Residual channel attention block (RCAN, arXiv 1807.02758): conv, ReLU, conv, channel gate, plus identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, width, 3, 1, 1), ChannelGate(width)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


class Pkdn(nn.Module):
    """The PKDN network.

    Args:
        blocks: RCABs in each of the three encoder stages, the neck and the three decoder stages.
        regions: number of regions of the parsing map, for a teacher; 0: a student, which takes only the low-resolution face.
        softmax: whether the teacher's deepest fusion has a cross-attention.
    """

    def __init__(self, blocks: int = 2, regions: int = 0, softmax: bool = True) -> None:
        super().__init__()

        def stage() -> nn.Sequential:
            return nn.Sequential(*[Rcab(WIDTH) for _ in range(blocks)])

        self.head = nn.Conv2d(3, WIDTH, 3, 1, 1)
        self.downs = nn.ModuleList(
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * WIDTH, WIDTH, 3, 1, 1)) for _ in range(LEVELS)
        )
        self.encoders = nn.ModuleList(stage() for _ in range(LEVELS))
        self.fusions = nn.ModuleList(
            ParsingFusion(WIDTH, regions, softmax and level == LEVELS - 1) for level in range(LEVELS if regions else 0)
        )
        self.neck = stage()
        self.ups = nn.ModuleList(nn.Sequential(nn.Conv2d(WIDTH, 4 * WIDTH, 3, 1, 1), nn.PixelShuffle(2)) for _ in range(LEVELS))
        self.decoders = nn.ModuleList(stage() for _ in range(LEVELS))
        self.reinjections = nn.ModuleList(FeatureFusion(WIDTH, LEVELS + 1) for _ in range(LEVELS))
        self.tail = nn.Conv2d(WIDTH, 3, 3, 1, 1)

    def forward(self, x: Tensor, parsing: Tensor | None = None) -> Tensor:
        return self.with_features(x, parsing)[0][-1]

    def with_features(self, x: Tensor, parsing: Tensor | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """The image, in a list, and the seven features to distil: after each encoder, the neck and each decoder."""
        features = self.head(x)
        encoded, distilled = [features], []
        for level in range(LEVELS):
            features = self.encoders[level](self.downs[level](features))
            if parsing is not None:
                features = self.fusions[level](features, parsing)
            encoded.append(features)
            distilled.append(features)
        features = self.neck(features)
        distilled.append(features)
        for level in range(LEVELS):
            features = self.reinjections[level](self.ups[level](features), encoded)
            features = self.decoders[level](features)
            distilled.append(features)
        return [x + self.tail(features)], distilled
