"""Prior knowledge distillation (PKDN, arXiv 2409.14385), with the weights and the fade of KDFSRNet, its elder relative.

    loss += 10 · fade · distance of features + 0.1 · L1 to the teacher's picture

``fade`` falls from 1 to 0 over the first half of the run, after which the teacher is not asked any more. Features are compared by
L1 (KDFSRNet) or, as feature-similarity distillation does (F-SKD, arXiv 2303.04681), by the cosine of all of a face's features at
once.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from models.runtime.devices import autocast
from training.recognizer.feature_similarity import feature_distance

FEATURE_WEIGHT, OUTPUT_WEIGHT = 10.0, 0.1
FADE_END = 0.5  # share of the run after which nothing is distilled any more
KINDS = ("l1", "cosine", "none")


class Teacher(Protocol):
    """A network that shows what it sees on the way."""

    def with_features(self, x: Tensor, parsing: Tensor | None) -> tuple[list[Tensor], list[Tensor]]: ...


class Distillation:
    """What a student loses for being unlike its frozen teacher."""

    def __init__(self, teacher: Teacher, kind: str) -> None:
        self.teacher, self.kind = teacher, kind

    def __call__(
        self, progress: float, x: Tensor, parsing: Tensor | None, picture: Tensor, seen: list[Tensor]
    ) -> dict[str, Tensor]:
        """Weighted terms of the loss by name, when ``progress`` 0..1 of the run is done."""
        fade = max(0.0, 1 - progress / FADE_END)
        if not fade:
            return {}
        with torch.no_grad(), autocast(x.device.type):
            pictures, told = self.teacher.with_features(x, parsing)
        terms = {"output": OUTPUT_WEIGHT * (picture.float() - pictures[-1].float()).abs().mean()}
        if self.kind != "none":
            terms["features"] = FEATURE_WEIGHT * fade * feature_distance(self.kind, seen, told)
        return terms
