"""Makes one template of each track: the quality-weighted mean of its shots' vectors."""

from __future__ import annotations

import numpy as np

from pipeline.protocol import Batch
from stages.records import EmbeddedTrack, Template


class Aggregate:
    """``power``: how strongly quality weighs; 0 is the plain mean, higher trusts the best shots more."""

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
        mean = (item.vectors * (weights / total)[:, None]).sum(0)
        length = float(np.linalg.norm(mean))
        if length < 1e-6:
            return Template(item.track, item.restored, None, 0.0)
        return Template(
            item.track, item.restored, (mean / length).astype(np.float32), float((item.quality * weights).sum() / total)
        )
