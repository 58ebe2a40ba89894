"""Super-resolves shots: the best one of each finished track for display, and those whose embedding gains from it."""

from __future__ import annotations

import numpy as np

from models.chip import CHIP, FUSED_LEVELS
from pipeline.protocol import Batch
from stages.records import Image, RestoredTrack, Track
from stages.shot_cache import ShotCache


class Superres:
    """Upscales chips to 128x128. A shot that was in an earlier report of its track is not upscaled again.

    Args:
        weights: a weight file; None for the project's own network.
        fused_levels: resolution levels at which all shots are upscaled for their embeddings (`stages.embed.Embed`). None for the
            levels that the decision thresholds were measured with; ``[]`` upscales the best shot of a finished track only.
        device: ``auto``, ``cpu`` or ``cuda``.
        for_vector: former name of ``fused_levels``.
    """

    def __init__(
        self,
        weights: str | None = None,
        fused_levels: list[int] | None = None,
        device: str = "auto",
        for_vector: list[int] | None = None,
    ) -> None:
        self._weights, self._device = weights, device
        fused_levels = for_vector if fused_levels is None else fused_levels
        self._fused_levels = frozenset(FUSED_LEVELS if fused_levels is None else fused_levels)

    def open(self) -> None:
        from models import load_superres

        self._net = load_superres(self._weights, self._device)
        self._cache: ShotCache[Image] = ShotCache()

    def process(self, batch: Batch) -> Batch:
        caches = [self._cache.values_of(track) for track in batch]
        # By resolution level, then by shot: the cache that gets the result, and the chip.
        requested: dict[int, dict[tuple[int, float], tuple[dict[float, Image], Image]]] = {}
        for track, cache in zip(batch, caches, strict=True):
            for number, shot in enumerate(track.shots):
                if shot.pts_s not in cache and self._is_requested(track, number):
                    requested.setdefault(len(shot.chip), {})[id(cache), shot.pts_s] = cache, shot.chip
        for shots in requested.values():
            upscaled = self._net.upscale(np.stack([chip for _, chip in shots.values()]))
            for ((_, pts_s), (cache, _)), chip in zip(shots.items(), upscaled, strict=True):
                cache[pts_s] = chip
        out = []
        for track, cache in zip(batch, caches, strict=True):
            restored = (cache[s.pts_s] if self._is_requested(track, n) else None for n, s in enumerate(track.shots))
            out.append(RestoredTrack(track, tuple(restored)))
        for track in batch:
            self._cache.drop_stale(track)
        return out

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]

    def _is_requested(self, track: Track, number: int) -> bool:
        level = len(track.shots[number].chip)
        return level < CHIP and ((number == 0 and track.final) or level in self._fused_levels)
