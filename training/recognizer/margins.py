"""Margin losses over labelled identities: CosFace (arXiv 1801.09414), ArcFace (1801.07698), AdaFace (2204.00964)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KINDS = ("cosface", "arcface", "adaface")
ADAFACE_H = 0.333


class MarginHead(nn.Module):
    """Cross-entropy over identities with a margin on the cosine of the true one.

    Args:
        dim: length of the embeddings.
        identities: number of identities.
        kind: ``cosface``, ``arcface`` or ``adaface``.
        scale: factor on the cosines; higher makes the softmax sharper. F-SKD: 30.
        margin: in cosine (CosFace), in radians (ArcFace), or both, weighted by the embedding's norm as quality (AdaFace). Higher
            separates identities more and is harder to learn. F-SKD: CosFace 0.25.

    Raises:
        ValueError: unknown kind.
    """

    def __init__(self, dim: int, identities: int, kind: str = "cosface", scale: float = 30.0, margin: float = 0.25) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind = {kind!r}: must be one of {KINDS}")
        self.kind, self.scale, self.margin = kind, scale, margin
        self.centres = nn.Parameter(F.normalize(torch.randn(identities, dim)))
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_spread", torch.tensor(10.0))

    def forward(self, embedding: Tensor, label: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            embedding: (N, dim), not normalised.
            label: identity numbers int64 (N,), 0..identities - 1.

        Returns:
            Scalar tensor, the mean over the batch.
        """
        embedding = embedding.float()
        cosines = F.normalize(embedding) @ F.normalize(self.centres).T
        right = cosines.gather(1, label[:, None])[:, 0].clamp(-1 + 1e-6, 1 - 1e-6)
        logits = cosines.scatter(1, label[:, None], self._taken(right, embedding.detach().norm(dim=1))[:, None])
        return F.cross_entropy(self.scale * logits, label)

    def _taken(self, cosine: Tensor, norm: Tensor) -> Tensor:
        """Apply the margin to the cosine (N,) of the true identity."""
        if self.kind == "cosface":
            return cosine - self.margin
        if self.kind == "arcface":
            return torch.cos((torch.acos(cosine) + self.margin).clamp(max=math.pi))
        if self.training and len(norm) > 1 and bool(norm.isfinite().all()):  # NaN must not enter the running statistics
            self.norm_mean.lerp_(norm.mean(), 0.01)
            self.norm_spread.lerp_(norm.std(), 0.01)
        quality = ((norm - self.norm_mean) / (self.norm_spread + 1e-3) * ADAFACE_H).clamp(-1, 1)
        angle = (torch.acos(cosine) - self.margin * quality).clamp(0, math.pi)
        return torch.cos(angle) - (self.margin + self.margin * quality)
