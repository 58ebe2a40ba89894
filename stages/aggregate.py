"""Aggregates the embeddings of a track into one template: their quality-weighted mean."""

from __future__ import annotations

import numpy as np

from pipeline.protocol import Batch
from stages.records import EmbeddedTrack, Template


class Aggregate:
    """Weights each shot's embedding by ``quality ** power`` and normalises the mean to unit length.

    The template is rounded to float16, as it is stored, so that a later decision from the stored one is the same decision.

    Args:
        power: 0 is the plain mean; raising it gives the best shots more weight.
    """

    def __init__(self, power: float = 2.0) -> None:
        self._power = power

    def open(self) -> None:
        return

    def process(self, batch: Batch) -> Batch:
        return [self._one(item) for item in batch]

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        return

    def _one(self, item: EmbeddedTrack) -> Template:
        weights = item.quality**self._power * (item.quality > 0)
        total = float(weights.sum())
        if total <= 0:
            return Template(item.track, item.restored, None, 0.0)
        mean = (item.embeddings * (weights / total)[:, None]).sum(0)
        length = float(np.linalg.norm(mean))
        if length < 1e-6:
            return Template(item.track, item.restored, None, 0.0)
        stored = (mean / length).astype(np.float16).astype(np.float32)
        return Template(item.track, item.restored, stored, float((item.quality * weights).sum() / total))
