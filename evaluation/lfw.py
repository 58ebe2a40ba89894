"""The development test for recognition: faces of ``DATA/lfw-dev``, seen as small as a test wants them, by any recogniser."""

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

from models.chip import CHIP, FUSED, rung_of
from training.common.degradations import PRESETS

Chips = NDArray[np.uint8]
Vectors = NDArray[np.float32]
SHARED_PEOPLE = Path(__file__).with_name("shared_people.txt")
FACE_SHARE = 0.63  # width of the face within a chip


@cache
def shared_people() -> frozenset[str]:
    """People of ``DATA/lfw-dev`` who look like somebody among the training chips (made by `evaluation.shared_people`)."""
    return frozenset(SHARED_PEOPLE.read_text().split())


class Recognizer(Protocol):
    """What is measured: chips of any rung in, unit vectors and qualities out."""

    def embed_with_quality(self, chips: Chips) -> tuple[Vectors, Vectors]: ...


@dataclass(frozen=True)
class Lfw:
    """``chips`` (N, 128, 128, 3) and their ``names`` (N,); pairs as rows ``left``, ``right`` with ``same`` and ``fold``."""

    chips: Chips
    names: NDArray[np.str_]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    same: NDArray[np.bool_]
    fold: NDArray[np.intp]


def load_lfw(data: Path, most_pairs: int = 3000, whole: bool = False) -> Lfw:
    """Read ``data/lfw-dev``, without the people of `evaluation.shared_people` unless ``whole``; with fewer pairs only the chips
    they need."""
    folder = data / "lfw-dev"
    with (folder / "index.csv").open(newline="") as file:
        index = [row for row in csv.DictReader(file) if whole or row["identity"] not in shared_people()]
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
    """Chips at 128 pixels."""
    if chips.shape[1] == CHIP:
        return chips
    return np.stack([cv2.resize(c, (CHIP, CHIP), interpolation=interpolation) for c in chips]).astype(np.uint8)


def to_rung(chip: Chips, rung: int) -> Chips:
    """A chip of any side at a rung of the ladder."""
    return chip if rung == chip.shape[0] else cv2.resize(chip, (rung, rung), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def shrunk(chips: Chips, preset: str, side: int, seed: int = 0) -> Chips:
    """Sharp chips as a degradation leaves them at ``side`` pixels, on the rung that the pipeline cuts them at."""
    rng, rung = np.random.default_rng(seed), rung_of(side)
    return np.stack([to_rung(PRESETS[preset](np.ascontiguousarray(c), side, rng), rung) for c in chips])


INPUTS = ("direct", "bicubic", "student", "fused")


def embedded(
    recognizer: Recognizer, small: Chips, restore: Callable[[Chips], Chips], inputs: Sequence[str] = INPUTS
) -> dict[str, tuple[Vectors, Vectors]]:
    """Vectors and qualities of small chips in every way they may be made: as they are (the recogniser enlarges them itself),
    enlarged, super-resolved, and the mean of the direct and the super-resolved vector. Chips of full size are only direct."""
    if small.shape[1] == CHIP:
        return {"direct": recognizer.embed_with_quality(small)}
    ways = {"direct": lambda: small, "bicubic": lambda: enlarge(small), "student": lambda: restore(small)}
    needed = {*inputs, *(("direct", "student") if "fused" in inputs else ())}
    found = {name: recognizer.embed_with_quality(way()) for name, way in ways.items() if name in needed}
    if "fused" in inputs:
        (direct, surely), (student, likely) = found["direct"], found["student"]
        both = direct + student
        trust = np.where((surely > 0) & (likely > 0), (surely + likely) / 2, 0.0).astype(np.float32)
        found["fused"] = both / np.linalg.norm(both, axis=1, keepdims=True), trust
    return {name: found[name] for name in inputs}


def as_shipped(recognizer: Recognizer, small: Chips, restore: Callable[[Chips], Chips]) -> tuple[Vectors, Vectors]:
    """Vectors and qualities of chips of one rung, made as the pipeline makes them."""
    way = "fused" if small.shape[1] in FUSED else "direct"
    return embedded(recognizer, small, restore, (way,))[way]


def as_seen(
    recognizer: Recognizer, chips: Chips, sides: Sequence[int], restore: Callable[[Chips], Chips], rng: np.random.Generator
) -> tuple[Vectors, Vectors]:
    """Vectors and qualities of sharp chips, each seen by a camera at its own side, on the rung that the pipeline cuts it at."""
    seen = [PRESETS["cctv"](np.ascontiguousarray(chip), side, rng) for chip, side in zip(chips, sides, strict=True)]
    rungs = np.array([rung_of(side) for side in sides])
    parts = {
        rung: as_shipped(recognizer, np.stack([to_rung(seen[row], rung) for row in np.flatnonzero(rungs == rung)]), restore)
        for rung in np.unique(rungs).tolist()
    }
    order = np.argsort(np.argsort(rungs, kind="stable"))
    vectors, quality = (np.concatenate([part[which] for part in parts.values()])[order] for which in (0, 1))
    return vectors, quality
