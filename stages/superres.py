"""Super-resolves the shots: the best one of each track for the eye, and those rungs whose vectors gain from it."""

from __future__ import annotations

import numpy as np

from models.chip import CHIP
from pipeline.protocol import Batch
from stages.records import Image, RestoredTrack


class Superres:
    """The eye is served when a track has ended. ``weights``: a file, else the project's own. ``for_vector``: rungs whose
    shots are super-resolved before they are embedded; by default none, because where cameras leave little it may make a likely
    stranger (README, figures)."""

    def __init__(self, weights: str | None = None, for_vector: list[int] | None = None, device: str = "auto") -> None:
        self._weights, self._device = weights, device
        self._for_vector = frozenset(for_vector or [])

    def open(self) -> None:
        from models import load_superres

        self._net = load_superres(self._weights, self._device)

    def process(self, batch: Batch) -> Batch:
        wanted: dict[int, list[tuple[int, int]]] = {}
        restored: list[list[Image | None]] = []
        for place, track in enumerate(batch):
            restored.append([None] * len(track.shots))
            for number, shot in enumerate(track.shots):
                rung = len(shot.chip)
                if rung < CHIP and ((number == 0 and track.final) or rung in self._for_vector):
                    wanted.setdefault(rung, []).append((place, number))
        for places in wanted.values():
            sharp = self._net.upscale(np.stack([batch[place].shots[number].chip for place, number in places]))
            for (place, number), chip in zip(places, sharp, strict=True):
                restored[place][number] = chip
        return [RestoredTrack(track, tuple(chips)) for track, chips in zip(batch, restored, strict=True)]

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._net = None  # type: ignore[assignment]
