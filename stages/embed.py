"""Turns the shots into vectors with the low-resolution recogniser."""

from __future__ import annotations

import numpy as np

from models.chip import FUSED
from pipeline.protocol import Batch
from stages.records import EmbeddedTrack, Image, RestoredTrack, Vector
from stages.shot_cache import Known

Embedded = tuple[Vector, float]


class Embed:
    """A shot that was reported before is not embedded again. ``recognizer``: a weight file, else the project's own.
    ``for_vector``: rungs at which the vector is the mean of the chip's own and the super-resolved chip's, better than either;
    the same list as the super-resolution stage's, by default the one that thresholds were measured with."""

    def __init__(self, recognizer: str | None = None, for_vector: list[int] | None = None, device: str = "auto") -> None:
        self._recognizer, self._device = recognizer, device
        self._for_vector = frozenset(FUSED if for_vector is None else for_vector)

    def open(self) -> None:
        from models import load_recognizer

        self._net = load_recognizer(self._recognizer, self._device)
        self._known: Known[Embedded] = Known()

    def process(self, batch: Batch) -> Batch:
        known = [self._known.of(item.track) for item in batch]
        views: dict[int, list[tuple[tuple[int, float], Image]]] = {}  # by rung, of which shot, and the chip
        made: dict[tuple[int, float], list[Embedded]] = {}  # by shot; two reports of one track may come together
        for item, vectors in zip(batch, known, strict=True):
            for shot, sharp in zip(item.track.shots, item.restored, strict=True):
                key = id(vectors), shot.pts_s
                if shot.pts_s not in vectors and key not in made:
                    made[key] = []
                    fused = sharp is not None and len(shot.chip) in self._for_vector
                    for chip in (shot.chip, sharp) if fused else (shot.chip,):
                        views.setdefault(len(chip), []).append((key, chip))
        for entries in views.values():
            found, trust = self._net.embed_with_quality(np.stack([chip for _, chip in entries]))
            for (key, _), vector, value in zip(entries, found, trust, strict=True):
                made[key].append((vector, float(value)))
        out = []
        for item, vectors in zip(batch, known, strict=True):
            for shot in item.track.shots:
                if shot.pts_s not in vectors:
                    vectors[shot.pts_s] = fuse(made[id(vectors), shot.pts_s])
            out.append(self._embedded(item, vectors))
        for item in batch:
            self._known.drop_stale(item.track)
        return out

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]

    def _embedded(self, item: RestoredTrack, known: dict[float, Embedded]) -> EmbeddedTrack:
        shots = item.track.shots
        vectors = np.zeros((len(shots), self._net.dim), np.float32)
        quality = np.zeros(len(shots), np.float32)
        for number, shot in enumerate(shots):
            vectors[number], quality[number] = known[shot.pts_s]
        return EmbeddedTrack(item.track, item.restored[0] if item.restored else None, vectors, quality)


def fuse(parts: list[Embedded]) -> Embedded:
    """The unit vector between some, and their mean quality; 0 if one has none: what is no face must not become one."""
    total = np.sum([vector for vector, _ in parts], 0)
    trust = [quality for _, quality in parts]
    return total / max(float(np.linalg.norm(total)), 1e-9), sum(trust) / len(trust) if min(trust) > 0 else 0.0
