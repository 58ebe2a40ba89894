"""Embedding distillation: losses between the student's embeddings and a strong teacher's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from models.networks.recognizer import Recognizer
from training.data.chips import SAME_PERSON_COSINE

EMBEDDING, CONTRAST, CONTRAST_SCALE = 4.0, 0.5, 24.0


def embedding_loss(
    net: nn.Module,
    embedding: torch.Tensor,
    project: nn.Module,
    target: torch.Tensor,
    label: torch.Tensor,
    negatives: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """Cosine loss, contrastive loss and quality loss of a batch.

    The contrastive loss (InfoNCE) classifies each embedding's own teacher embedding among those of the batch. Other photos of the
    same person are not used as negatives.

    Args:
        net: the student; the quality loss is computed only for networks with a quality head.
        embedding: student embeddings (N, d), not normalised.
        project: module that maps student embeddings to the teacher's dimension D.
        target: teacher embeddings (N, D), unit length.
        label: identity numbers (N,), -1 where unknown.
        negatives: further teacher embeddings (Q, D) as negatives. Those with a cosine to the target above
            `training.data.chips.SAME_PERSON_COSINE` are ignored.

    Returns:
        Weighted scalar terms by name.
    """
    unit = F.normalize(project(embedding))
    cosine = (unit * target).sum(1)
    alike = (label[:, None] == label[None]) & (label >= 0)
    alike.fill_diagonal_(False)
    logits = (CONTRAST_SCALE * unit @ target.T).masked_fill(alike, -torch.inf)
    if negatives is not None:
        known = (target @ negatives.T) > SAME_PERSON_COSINE
        logits = torch.cat([logits, (CONTRAST_SCALE * unit @ negatives.T).masked_fill(known, -torch.inf)], 1)
    picked = F.cross_entropy(logits, torch.arange(len(unit), device=unit.device))
    terms = {"embedding": EMBEDDING * (1 - cosine.mean()), "contrast": CONTRAST * picked}
    return terms | quality_loss(net, embedding, cosine)


def quality_loss(net: nn.Module, embedding: torch.Tensor, cosine: torch.Tensor) -> dict[str, torch.Tensor]:
    """Squared error of the quality head's prediction of ``cosine`` (N,); empty for networks without that head."""
    if not isinstance(net, Recognizer):
        return {}
    predicted = net.quality(embedding.detach()).sigmoid()[:, 0]
    return {"quality": F.mse_loss(predicted, cosine.detach().clamp(0, 1))}
