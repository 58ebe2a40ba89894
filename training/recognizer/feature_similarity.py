"""Feature-similarity knowledge distillation (F-SKD, arXiv 2303.04681): a network that sees a small face learns to have the
features that its teacher has of the sharp one.

2023, the method: one cosine per face and stage, over all its features. 2024, options: hint layers between the two, and a loss on
the relations between two pictures of one person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAMBDA = 20.0
RELATION = 4.0
KINDS = ("cosine", "l2", "none")  # how stages may be compared


DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda a, b: (1 - F.cosine_similarity(a, b)).mean(),
    "l1": F.l1_loss,
    "l2": F.mse_loss,
}


def feature_distance(kind: str, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Mean over layers and faces of how far flattened features are apart: 1 - ``cosine``, absolute (``l1``), squared (``l2``)."""
    pairs = zip(student, teacher, strict=True)
    return torch.stack([DISTANCES[kind](a.float().flatten(1), b.float().flatten(1)) for a, b in pairs]).mean()


class Hints(nn.Module):
    """1×1 convolution and batch norm for each stage of the student, to the widths of the teacher's; dropped after training."""

    def __init__(self, widths: Sequence[int], teacher: Sequence[int]) -> None:
        super().__init__()
        pairs = zip(widths, teacher, strict=True)
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv2d(w, t, 1, bias=False), nn.BatchNorm2d(t)) for w, t in pairs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [layer(f) for layer, f in zip(self.layers, features, strict=True)]


def relation_distance(student: Tensor, student_partner: Tensor, teacher: Tensor, teacher_partner: Tensor) -> Tensor:
    """Cross-sample relation loss: last-stage features (N, C, h, w) of pictures and of other pictures of the same people.

    With R(a, b) the affinity of all places of a with all places of b, features of unit Frobenius norm and d = 1 - cosine:
    [d(R(T, T'), R(T, S')) + d(R(T, T'), R(S, T'))] / 2 + d(R(T, T'), R(S, S')).
    """

    def unit(x: Tensor) -> Tensor:
        return F.normalize(x.float().flatten(1), dim=1).view(len(x), x.shape[1], -1)

    def affinity(a: Tensor, b: Tensor) -> Tensor:
        return (unit(a).transpose(1, 2) @ unit(b)).flatten(1)

    def away(r: Tensor) -> Tensor:
        return (1 - F.cosine_similarity(told, r)).mean()

    told = affinity(teacher, teacher_partner)
    mixed = (away(affinity(teacher, student_partner)) + away(affinity(student, teacher_partner))) / 2
    return mixed + away(affinity(student, student_partner))
