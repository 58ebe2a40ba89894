"""Turns the shots into vectors with the low-resolution recogniser."""

from __future__ import annotations

import numpy as np

from pipeline.protocol import Batch
from stages.records import EmbeddedTrack, Image


class Embed:
    """``recognizer``: a weight file, else the project's own. ``for_vector``: rungs whose super-resolved chip is embedded
    instead of the chip itself; the same list as the super-resolution stage's."""

    def __init__(self, recognizer: str | None = None, for_vector: list[int] | None = None, device: str = "auto") -> None:
        self._recognizer, self._device = recognizer, device
        self._for_vector = frozenset(for_vector or [])

    def open(self) -> None:
        from models import load_recognizer

        self._net = load_recognizer(self._recognizer, self._device)

    def process(self, batch: Batch) -> Batch:
        by_rung: dict[int, list[tuple[int, int, Image]]] = {}
        for place, item in enumerate(batch):
            for number, (shot, sharp) in enumerate(zip(item.track.shots, item.restored, strict=True)):
                chip = sharp if sharp is not None and len(shot.chip) in self._for_vector else shot.chip
                by_rung.setdefault(len(chip), []).append((place, number, chip))
        vectors = [np.zeros((len(item.track.shots), self._net.dim), np.float32) for item in batch]
        quality = [np.zeros(len(item.track.shots), np.float32) for item in batch]
        for entries in by_rung.values():
            found, trust = self._net.embed_with_quality(np.stack([chip for _, _, chip in entries]))
            for (place, number, _), vector, value in zip(entries, found, trust, strict=True):
                vectors[place][number], quality[place][number] = vector, value
        return [
            EmbeddedTrack(item.track, item.restored[0] if item.restored else None, v, q)
            for item, v, q in zip(batch, vectors, quality, strict=True)
        ]

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]
