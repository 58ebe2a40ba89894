"""Super-resolves the shots: the best one of each track for the eye, and those rungs whose vectors gain from it."""

from __future__ import annotations

import numpy as np

from models.chip import CHIP, FUSED
from pipeline.protocol import Batch
from stages.records import Image, RestoredTrack, Track
from stages.shot_cache import Known


class Superres:
    """The eye is served when a track has ended. ``weights``: a file, else the project's own. ``for_vector``: rungs whose
    shots are all super-resolved, for their vectors (`stages.embed`); by default those that thresholds were measured with."""

    def __init__(self, weights: str | None = None, for_vector: list[int] | None = None, device: str = "auto") -> None:
        self._weights, self._device = weights, device
        self._for_vector = frozenset(FUSED if for_vector is None else for_vector)

    def open(self) -> None:
        from models import load_superres

        self._net = load_superres(self._weights, self._device)
        self._known: Known[Image] = Known()

    def process(self, batch: Batch) -> Batch:
        known = [self._known.of(track) for track in batch]
        wanted: dict[int, dict[tuple[int, float], tuple[dict[float, Image], Image]]] = {}  # by rung, then by shot
        for track, chips in zip(batch, known, strict=True):
            for number, shot in enumerate(track.shots):
                if shot.pts_s not in chips and self._asked(track, number):
                    wanted.setdefault(len(shot.chip), {})[id(chips), shot.pts_s] = chips, shot.chip
        for places in wanted.values():
            sharp = self._net.upscale(np.stack([chip for _, chip in places.values()]))
            for ((_, pts_s), (chips, _)), chip in zip(places.items(), sharp, strict=True):
                chips[pts_s] = chip
        out = [
            RestoredTrack(track, tuple(chips[s.pts_s] if self._asked(track, n) else None for n, s in enumerate(track.shots)))
            for track, chips in zip(batch, known, strict=True)
        ]
        for track in batch:
            self._known.drop_stale(track)
        return out

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]

    def _asked(self, track: Track, number: int) -> bool:
        rung = len(track.shots[number].chip)
        return rung < CHIP and ((number == 0 and track.final) or rung in self._for_vector)
