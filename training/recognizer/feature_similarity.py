"""Feature-similarity knowledge distillation (F-SKD, arXiv 2303.04681).

The student's features of a degraded face are trained to match the teacher's features of the sharp face. The 2023 paper uses one
cosine per face and stage. The 2024 extension adds hint layers and a loss on the relation between two photos of one person.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LAMBDA = 20.0  # weight of the stage features
RELATION = 4.0  # weight of the relation loss
KINDS = ("cosine", "l2", "none")  # distances between stage features

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine": lambda a, b: (1 - F.cosine_similarity(a, b)).mean(),
    "l1": F.l1_loss,
    "l2": F.mse_loss,
}


def feature_distance(kind: str, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
    """Mean distance between stage features.

    Args:
        kind: ``cosine`` (1 - cosine of all features of a face), ``l1`` (absolute) or ``l2`` (squared).
        student: feature maps (N, C, h, w), one per stage.
        teacher: feature maps of the same shapes.

    Returns:
        Scalar tensor, the mean over stages and faces.
    """
    pairs = zip(student, teacher, strict=True)
    return torch.stack([DISTANCES[kind](a.float().flatten(1), b.float().flatten(1)) for a, b in pairs]).mean()


class Hints(nn.Module):
    """1x1 convolution and batch norm that map each stage of the student to the teacher's width; used in training only.

    Args:
        widths: channels of the student's stages.
        teacher: channels of the teacher's stages.
    """

    def __init__(self, widths: Sequence[int], teacher: Sequence[int]) -> None:
        super().__init__()
        pairs = zip(widths, teacher, strict=True)
        self.layers = nn.ModuleList(nn.Sequential(nn.Conv2d(w, t, 1, bias=False), nn.BatchNorm2d(t)) for w, t in pairs)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        return [layer(f) for layer, f in zip(self.layers, features, strict=True)]


def relation_distance(student: Tensor, student_partner: Tensor, teacher: Tensor, teacher_partner: Tensor) -> Tensor:
    """Cross-sample relation loss of F-SKD (2024).

    With R(a, b) the affinity of all positions of a with all positions of b, features of unit Frobenius norm and d = 1 - cosine:
    [d(R(T, T'), R(T, S')) + d(R(T, T'), R(S, T'))] / 2 + d(R(T, T'), R(S, S')).

    Args:
        student: last-stage features (N, C, h, w) of the student.
        student_partner: features of the student for other photos of the same people, in the same order.
        teacher: last-stage features of the teacher.
        teacher_partner: features of the teacher for the other photos.

    Returns:
        Scalar tensor.
    """

    def unit(x: Tensor) -> Tensor:
        return F.normalize(x.float().flatten(1), dim=1).view(len(x), x.shape[1], -1)

    def affinity(a: Tensor, b: Tensor) -> Tensor:
        return (unit(a).transpose(1, 2) @ unit(b)).flatten(1)

    def distance(relation: Tensor) -> Tensor:
        return (1 - F.cosine_similarity(target, relation)).mean()

    target = affinity(teacher, teacher_partner)
    mixed = (distance(affinity(teacher, student_partner)) + distance(affinity(student, teacher_partner))) / 2
    return mixed + distance(affinity(student, student_partner))
