"""The development test of recognition: ``DATA/lfw-dev``, its degraded copies, and their embeddings."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.chip import CHIP, level_for_side
from stages.embed import fuse
from training.common.degradations import PRESETS

Chips = NDArray[np.uint8]
Embeddings = NDArray[np.float32]
SHARED_PEOPLE = Path(__file__).with_name("shared_people.txt")
FACE_SHARE = 0.63  # width of the face over the side of the chip
INPUTS = ("direct", "bicubic", "student", "fused")


@cache
def shared_people() -> frozenset[str]:
    """People of ``DATA/lfw-dev`` who resemble somebody in the training chips (written by `evaluation.shared_people`)."""
    return frozenset(SHARED_PEOPLE.read_text().split())


class Recognizer(Protocol):
    """The interface of a recogniser under test."""

    def embed_with_quality(self, chips: Chips) -> tuple[Embeddings, Embeddings]:
        """Chips uint8 (N, r, r, 3) RGB -> unit embeddings float32 (N, D) and qualities float32 (N,) in 0..1."""
        ...


@dataclass(frozen=True)
class Lfw:
    """The faces and pairs of ``lfw-dev``.

    Attributes:
        chips: uint8 (N, 128, 128, 3) RGB.
        names: str (N,), the person of each chip.
        left: int (P,), row of the first chip of each pair.
        right: int (P,), row of the second chip of each pair.
        same: bool (P,), whether a pair shows one person.
        fold: int (P,), the pair's fold of the cross-validation.
    """

    chips: Chips
    names: NDArray[np.str_]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]
    fold: NDArray[np.intp]


def load_lfw(data: Path, most_pairs: int = 3000, include_shared: bool = False) -> Lfw:
    """Read ``data/lfw-dev``.

    Args:
        data: the data folder.
        most_pairs: pairs to keep, evenly spaced. Below 3,000 only the chips of these pairs are read.
        include_shared: keep the people of `shared_people`, who resemble training chips.
    """
    folder = data / "lfw-dev"
    with (folder / "index.csv").open(newline="") as file:
        index = [row for row in csv.DictReader(file) if include_shared or row["identity"] not in shared_people()]
    with (folder / "pairs.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    kept = {row["file"] for row in index}
    pairs = [pair for pair in pairs[:: max(1, len(pairs) // most_pairs)] if {pair["left"], pair["right"]} <= kept]
    used = {pair[side] for pair in pairs for side in ("left", "right")}
    index = [row for row in index if row["file"] in used or most_pairs >= 3000]
    place = {row["file"]: i for i, row in enumerate(index)}
    chips = np.zeros((len(index), CHIP, CHIP, 3), np.uint8)
    with tarfile.open(folder / "chips.tar") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.name in place else None
            if content is not None:
                chips[place[member.name]] = np.asarray(Image.open(io.BytesIO(content.read())).convert("RGB"))
    left, right = (np.array([place[pair[side]] for pair in pairs]) for side in ("left", "right"))
    same, fold = np.array([pair["same"] == "1" for pair in pairs]), np.array([int(pair["fold"]) for pair in pairs])
    return Lfw(chips, np.array([row["identity"] for row in index]), left, right, same, fold)


def enlarge(chips: Chips, interpolation: int = cv2.INTER_CUBIC) -> Chips:
    """Chips uint8 (N, r, r, 3) enlarged to (N, 128, 128, 3); ``interpolation`` is OpenCV's constant."""
    if chips.shape[1] == CHIP:
        return chips
    return np.stack([cv2.resize(c, (CHIP, CHIP), interpolation=interpolation) for c in chips]).astype(np.uint8)


def at_level(chip: Chips) -> Chips:
    """A chip (s, s, 3) of any side, resized to the resolution level at which the pipeline would cut it."""
    level = level_for_side(chip.shape[0])
    return chip if level == chip.shape[0] else cv2.resize(chip, (level, level), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def degrade(chips: Chips, preset: str, side: int, seed: int = 0) -> Chips:
    """Degrade sharp chips to one size and put them at the resolution level at which the pipeline would cut them.

    Args:
        chips: uint8 (N, 128, 128, 3) RGB.
        preset: a name of `training.common.degradations.PRESETS`.
        side: side of the degraded chip in pixels, 8 to 128. A smaller side is a harder test.
        seed: of noise and random camera parameters.

    Returns:
        uint8 (N, r, r, 3), r the resolution level of ``side``.
    """
    rng = np.random.default_rng(seed)
    return np.stack([at_level(PRESETS[preset](np.ascontiguousarray(c), side, rng)) for c in chips])


def camera_shots(chips: Chips, sides: Sequence[int], rng: np.random.Generator) -> list[Chips]:
    """One shot of each sharp chip by a random camera (preset ``cctv``).

    Args:
        chips: uint8 (N, 128, 128, 3) RGB.
        sides: side in pixels of each chip in the camera's frame.
        rng: draws blur, noise, exposure and compression.

    Returns:
        Chips uint8 (r, r, 3), r the resolution level of each side.
    """
    return [at_level(PRESETS["cctv"](np.ascontiguousarray(c), side, rng)) for c, side in zip(chips, sides, strict=True)]


def embed_each_way(
    recognizer: Recognizer, small: Chips, superres: Callable[[Chips], Chips], inputs: Sequence[str] = INPUTS
) -> dict[str, tuple[Embeddings, Embeddings]]:
    """Embed small chips with each of the compared inputs.

    Args:
        recognizer: the recogniser.
        small: uint8 (N, r, r, 3) RGB, r a resolution level.
        superres: super-resolves them to (N, 128, 128, 3).
        inputs: some of `INPUTS`: ``direct`` as they are (the recogniser enlarges them), ``bicubic`` enlarged, ``student``
            super-resolved, ``fused`` the mean of direct and student as `stages.embed` makes it.

    Returns:
        By input, unit embeddings (N, D) and qualities (N,). Chips of 128 pixels have only ``direct``.
    """
    if small.shape[1] == CHIP:
        return {"direct": recognizer.embed_with_quality(small)}
    ways = {"direct": lambda: small, "bicubic": lambda: enlarge(small), "student": lambda: superres(small)}
    needed = {*inputs, *(("direct", "student") if "fused" in inputs else ())}
    found = {name: recognizer.embed_with_quality(way()) for name, way in ways.items() if name in needed}
    if "fused" in inputs:
        pairs = zip(*found["direct"], *found["student"], strict=True)
        fused = [fuse([(direct, quality), (student, other)]) for direct, quality, student, other in pairs]
        embeddings, quality = np.stack([e for e, _ in fused]), np.array([q for _, q in fused], np.float32)
        found["fused"] = embeddings.astype(np.float32), quality
    return {name: found[name] for name in inputs}
