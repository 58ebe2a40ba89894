"""Prior knowledge distillation (PKDN, arXiv 2409.14385), with the weights and fade-out of its predecessor KDFSRNet.

    loss += 10 * fade * feature distance + 0.1 * L1 to the teacher's image

``fade`` falls from 1 to 0 over the first four fifths of the run. Then both terms are dropped and the teacher is not evaluated.
The feature distance is L1 (KDFSRNet) or cosine (F-SKD, arXiv 2303.04681).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from models.runtime.devices import autocast
from training.recognizer.feature_similarity import feature_distance

FEATURE_WEIGHT, OUTPUT_WEIGHT = 10.0, 0.1
FADE_END = 0.8  # share of the run after which distillation ends
KINDS = ("l1", "cosine", "none")


class Teacher(Protocol):
    """A network that returns its images and its intermediate features."""

    def with_features(self, x: Tensor, parsing: Tensor | None) -> tuple[list[Tensor], list[Tensor]]: ...


class Distillation:
    """Distillation loss between a student and a frozen teacher.

    Args:
        teacher: frozen network.
        kind: feature distance, one of `KINDS`; ``none`` compares images only.
    """

    def __init__(self, teacher: Teacher, kind: str) -> None:
        self.teacher, self.kind = teacher, kind

    def __call__(
        self, progress: float, x: Tensor, parsing: Tensor | None, picture: Tensor, seen: list[Tensor]
    ) -> dict[str, Tensor]:
        """Compute the weighted loss terms by name; empty after `FADE_END`.

        Args:
            progress: share of the run done, 0..1.
            x: input images (N, 3, r, r).
            parsing: parsing maps (N, regions, 64, 64), for the teacher.
            picture: output image of the student (N, 3, 128, 128).
            seen: intermediate features of the student, of the same shapes as the teacher's.
        """
        fade = max(0.0, 1 - progress / FADE_END)
        if not fade:
            return {}
        with torch.no_grad(), autocast(x.device.type):
            pictures, told = self.teacher.with_features(x, parsing)
        terms = {"output": OUTPUT_WEIGHT * (picture.float() - pictures[-1].float()).abs().mean()}
        if self.kind != "none":
            terms["features"] = FEATURE_WEIGHT * fade * feature_distance(self.kind, seen, told)
        return terms
