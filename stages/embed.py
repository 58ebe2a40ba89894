"""Turns the shots into vectors with the low-resolution recogniser."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from pipeline.protocol import Batch
from stages.records import EmbeddedTrack, Image, RestoredTrack, Track, Vector

MOST_TRACKS = 10_000  # whose vectors are kept until they end; a reader that died leaves some behind
Embedded = tuple[Vector, float]


class Embed:
    """A shot that was reported before is not embedded again. ``recognizer``: a weight file, else the project's own.
    ``for_vector``: rungs whose super-resolved chip is embedded instead of the chip itself; the same list as the
    super-resolution stage's."""

    def __init__(self, recognizer: str | None = None, for_vector: list[int] | None = None, device: str = "auto") -> None:
        self._recognizer, self._device = recognizer, device
        self._for_vector = frozenset(for_vector or [])

    def open(self) -> None:
        from models import load_recognizer

        self._net = load_recognizer(self._recognizer, self._device)
        self._known: OrderedDict[tuple[str, str], dict[float, Embedded]] = OrderedDict()

    def process(self, batch: Batch) -> Batch:
        known = [self._of(item.track) for item in batch]
        by_rung: dict[int, list[tuple[dict[float, Embedded], float, Image]]] = {}
        asked: set[tuple[int, float]] = set()  # two reports of one track may come together
        for item, vectors in zip(batch, known, strict=True):
            for shot, sharp in zip(item.track.shots, item.restored, strict=True):
                if shot.pts_s not in vectors and (id(vectors), shot.pts_s) not in asked:
                    asked.add((id(vectors), shot.pts_s))
                    chip = sharp if sharp is not None and len(shot.chip) in self._for_vector else shot.chip
                    by_rung.setdefault(len(chip), []).append((vectors, shot.pts_s, chip))
        for entries in by_rung.values():
            found, trust = self._net.embed_with_quality(np.stack([chip for _, _, chip in entries]))
            for (vectors, pts_s, _), vector, value in zip(entries, found, trust, strict=True):
                vectors[pts_s] = vector, float(value)
        out = [self._embedded(item, vectors) for item, vectors in zip(batch, known, strict=True)]
        for item, vectors in zip(batch, known, strict=True):
            for pts_s in vectors.keys() - {shot.pts_s for shot in item.track.shots}:
                del vectors[pts_s]
            if item.track.final:
                self._known.pop((item.track.source, item.track.track), None)
        return out

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]

    def _of(self, track: Track) -> dict[float, Embedded]:
        """What was embedded of a track for an earlier report, by the time of the shot."""
        known = self._known.setdefault((track.source, track.track), {})
        self._known.move_to_end((track.source, track.track))
        while len(self._known) > MOST_TRACKS:
            self._known.popitem(last=False)
        return known

    def _embedded(self, item: RestoredTrack, known: dict[float, Embedded]) -> EmbeddedTrack:
        shots = item.track.shots
        vectors = np.zeros((len(shots), self._net.dim), np.float32)
        quality = np.zeros(len(shots), np.float32)
        for number, shot in enumerate(shots):
            vectors[number], quality[number] = known[shot.pts_s]
        return EmbeddedTrack(item.track, item.restored[0] if item.restored else None, vectors, quality)
