"""Templates of tracks made by the pipeline's own stages: super-resolution, embedding and aggregation.

Benchmarks use these classes, so they measure the shipped fusion and aggregation code, not a second implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.aggregate import Aggregate
from stages.embed import Embed
from stages.records import EmbeddedTrack, Shot, Template, Track
from stages.superres import Superres

BATCH = 256  # tracks per batch


def as_track(name: str, chips: Sequence[NDArray[np.uint8]]) -> Track:
    """A finished track whose shots are these chips. Stages forget a finished track, so the next one may have its name.

    Args:
        name: a name that no other track of the same batch has.
        chips: uint8 (r, r, 3) RGB, r a resolution level; they may differ in size.
    """
    box = np.zeros(4, np.float32)
    shots = tuple(Shot(float(k), box, 1.0, float(chip.shape[0]), 0.0, 1.0, chip, b"") for k, chip in enumerate(chips))
    return Track("evaluation", name, 1, True, 0.0, float(len(shots)), np.zeros((1, 5), np.float32), shots, None, {})


class StageTemplates:
    """Runs chips through the stages from super-resolution to aggregation, with the settings that ship.

    Args:
        recognizer: a weight file or an ArcFace-style ONNX file; None: the project's own.
        device: ``auto``, ``cpu`` or ``cuda``.

    Example:
        >>> templates = StageTemplates()
        >>> templates([[chip_a, chip_b]])[0].embedding.shape
        (256,)
    """

    def __init__(self, recognizer: str | Path | None = None, device: str = "auto") -> None:
        weights = None if recognizer is None else str(recognizer)
        self._superres, self._embed, self._aggregate = Superres(device=device), Embed(weights, device=device), Aggregate()
        for stage in (self._superres, self._embed, self._aggregate):
            stage.open()

    def __call__(self, tracks: Sequence[Sequence[NDArray[np.uint8]]]) -> list[Template]:
        """Make one template per track, in order.

        Args:
            tracks: the chips of each track, uint8 (r, r, 3) RGB, r a resolution level.

        Returns:
            Templates; ``embedding`` is None where every shot has quality 0.
        """
        return [t for start in range(0, len(tracks), BATCH) for t in self._templates(tracks[start : start + BATCH], start)]

    def embedded(self, tracks: Sequence[Sequence[NDArray[np.uint8]]]) -> list[EmbeddedTrack]:
        """The embeddings of each track's shots, in order, before they are aggregated."""
        found: list[EmbeddedTrack] = []
        for start in range(0, len(tracks), BATCH):
            batch = [as_track(str(start + k), chips) for k, chips in enumerate(tracks[start : start + BATCH])]
            found += self._embed.process(self._superres.process(batch))
        return found

    def _templates(self, tracks: Sequence[Sequence[NDArray[np.uint8]]], start: int) -> list[Template]:
        batch = [as_track(str(start + k), chips) for k, chips in enumerate(tracks)]
        return self._aggregate.process(self._embed.process(self._superres.process(batch)))


def embeddings_of(templates: Sequence[Template], dim: int) -> NDArray[np.float32]:
    """Unit embeddings float32 (N, ``dim``) of templates; a row of zeros, which matches nobody, where there is none."""
    return np.stack([np.zeros(dim, np.float32) if t.embedding is None else t.embedding for t in templates])


def aggregated(embeddings: NDArray[np.float32], quality: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Aggregate embedded shots to templates with the stage `stages.aggregate.Aggregate`.

    Args:
        embeddings: float32 (N, K, D), K shots of each of N tracks, unit length.
        quality: float32 (N, K) in 0..1.
        power: exponent of the quality as a weight; 0 is the plain mean.

    Returns:
        float32 (N, D), unit length; zeros where every shot has quality 0.
    """
    stage, track = Aggregate(power), as_track("", ())
    tracks = [EmbeddedTrack(track, None, own, weights) for own, weights in zip(embeddings, quality, strict=True)]
    return embeddings_of(stage.process(tracks), embeddings.shape[2])
