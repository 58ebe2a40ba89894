"""Embeds the shots with the low-resolution recogniser."""

from __future__ import annotations

import numpy as np

from models.chip import FUSED_LEVELS
from pipeline.protocol import Batch
from stages.records import EmbeddedTrack, FloatArray, Image, RestoredTrack
from stages.shot_cache import ShotCache

ShotEmbedding = tuple[FloatArray, float]  # float32 (D,) unit length, and its quality 0..1
ShotKey = tuple[int, float]  # which track's cache, and PTS of the shot


class Embed:
    """Computes one embedding per shot. A shot that was in an earlier report of its track is not embedded again.

    At the ``fused_levels`` the embedding is the mean of two: of the chip, and of the super-resolved chip. This is more accurate
    than either.

    Args:
        recognizer: a weight file; None for the project's own network.
        fused_levels: resolution levels with two embeddings per shot, the same list as in `stages.superres.Superres`. None for
            the levels that the decision thresholds were measured with.
        device: ``auto``, ``cpu`` or ``cuda``.
        for_vector: former name of ``fused_levels``.
    """

    def __init__(
        self,
        recognizer: str | None = None,
        fused_levels: list[int] | None = None,
        device: str = "auto",
        for_vector: list[int] | None = None,
    ) -> None:
        self._recognizer, self._device = recognizer, device
        fused_levels = for_vector if fused_levels is None else fused_levels
        self._fused_levels = frozenset(FUSED_LEVELS if fused_levels is None else fused_levels)

    def open(self) -> None:
        from models import load_recognizer

        self._net = load_recognizer(self._recognizer, self._device)
        self._cache: ShotCache[ShotEmbedding] = ShotCache()

    def process(self, batch: Batch) -> Batch:
        caches = [self._cache.values_of(item.track) for item in batch]
        computed = self._compute(batch, caches)
        out = []
        for item, cache in zip(batch, caches, strict=True):
            for shot in item.track.shots:
                if shot.pts_s not in cache:
                    cache[shot.pts_s] = fuse(computed[id(cache), shot.pts_s])
            out.append(self._embedded(item, cache))
        for item in batch:
            self._cache.drop_stale(item.track)
        return out

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]

    def _compute(self, batch: Batch, caches: list[dict[float, ShotEmbedding]]) -> dict[ShotKey, list[ShotEmbedding]]:
        """Embed the chips of all shots that are not cached, in one batch per resolution level."""
        chips: dict[int, list[tuple[ShotKey, Image]]] = {}
        computed: dict[ShotKey, list[ShotEmbedding]] = {}  # also finds a shot that two reports in this batch share
        for item, cache in zip(batch, caches, strict=True):
            for shot, restored in zip(item.track.shots, item.restored, strict=True):
                key = id(cache), shot.pts_s
                if shot.pts_s not in cache and key not in computed:
                    computed[key] = []
                    fused = restored is not None and len(shot.chip) in self._fused_levels
                    for chip in (shot.chip, restored) if fused else (shot.chip,):
                        chips.setdefault(len(chip), []).append((key, chip))
        for entries in chips.values():
            embeddings, qualities = self._net.embed_with_quality(np.stack([chip for _, chip in entries]))
            for (key, _), embedding, quality in zip(entries, embeddings, qualities, strict=True):
                computed[key].append((embedding, float(quality)))
        return computed

    def _embedded(self, item: RestoredTrack, cache: dict[float, ShotEmbedding]) -> EmbeddedTrack:
        shots = item.track.shots
        embeddings = np.zeros((len(shots), self._net.dim), np.float32)
        quality = np.zeros(len(shots), np.float32)
        for number, shot in enumerate(shots):
            embeddings[number], quality[number] = cache[shot.pts_s]
        return EmbeddedTrack(item.track, item.restored[0] if item.restored else None, embeddings, quality)


def fuse(parts: list[ShotEmbedding]) -> ShotEmbedding:
    """Return the normalised mean of embeddings and their mean quality.

    The quality is 0 if any part has quality 0: super-resolution must not turn a chip without a face into one.
    """
    total = np.sum([embedding for embedding, _ in parts], 0)
    qualities = [quality for _, quality in parts]
    mean_quality = sum(qualities) / len(qualities) if min(qualities) > 0 else 0.0
    return total / max(float(np.linalg.norm(total)), 1e-9), mean_quality
