"""What the student's vectors learn from a strong teacher's: to be near them, and to tell them apart."""

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
    """Cosine to the strong teacher's vectors, contrast over the batch, in which other pictures of one person (by ``label``, 0 and
    up) are neither right nor wrong, and the quality's term. ``strangers`` (Q, D), the teacher's vectors of other faces, are told
    apart as well, but for those that the teacher finds as alike as one person's."""
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
    """How well the quality head, of networks that have one, foresees the cosine (N,) to the sharp picture's vector."""
    if not isinstance(net, Recognizer):
        return {}
    foreseen = net.quality(embedding.detach()).sigmoid()[:, 0]
    return {"quality": F.mse_loss(foreseen, cosine.detach().clamp(0, 1))}
