"""The development test for recognition: faces of ``DATA/lfw-dev``, seen as small as a test wants them, by any recogniser."""

from __future__ import annotations

import csv
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models import load_recognizer
from models.chip import CHIP, RUNGS
from models.recognizer import VIEW
from training.degradations import PRESETS

Chips = NDArray[np.uint8]
Vectors = NDArray[np.float32]
BATCH = 64
FACE_SHARE = 0.63  # width of the face within a chip


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


def load_lfw(data: Path, most_pairs: int = 3000) -> Lfw:
    """Read ``data/lfw-dev``; with fewer pairs only the chips they need."""
    folder = data / "lfw-dev"
    with (folder / "index.csv").open(newline="") as file:
        index = list(csv.DictReader(file))
    with (folder / "pairs.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    pairs = pairs[:: max(1, len(pairs) // most_pairs)]
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


def to_rung(chip: Chips) -> Chips:
    """A chip of any side on the rung it would enter the ladder at: the next one up."""
    side = next(r for r in RUNGS if r >= chip.shape[0])
    return chip if side == chip.shape[0] else cv2.resize(chip, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def shrunk(chips: Chips, preset: str, side: int, seed: int = 0) -> Chips:
    """Sharp chips as a degradation leaves them at ``side`` pixels, on their rung."""
    rng = np.random.default_rng(seed)
    return np.stack([to_rung(PRESETS[preset](np.ascontiguousarray(c), side, rng)) for c in chips])


class EdgeFace:
    """EdgeFace-XS, a yardstick that knows nothing of ours (needs timm, extra `eval`; its weights are non-commercial)."""

    def __init__(self, weights: Path) -> None:
        import timm
        from safetensors.torch import load_file

        self._net: Any = timm.create_model("edgenext_x_small", num_classes=512)
        self._net.load_state_dict({k.removeprefix("model."): v.float() for k, v in load_file(str(weights)).items()})
        self._net.eval()

    def embed_with_quality(self, chips: Chips) -> tuple[Vectors, Vectors]:
        """Unit vectors (N, 512) of picture and mirror; it knows no quality."""
        import torch

        edge = (CHIP - VIEW) // 2
        large, done = enlarge(chips), []
        with torch.inference_mode():
            for i in range(0, len(large), BATCH):
                crop = np.ascontiguousarray(large[i : i + BATCH, edge:-edge, edge:-edge])
                x = torch.from_numpy(crop).permute(0, 3, 1, 2).float() / 127.5 - 1
                done.append(torch.nn.functional.normalize(self._net(x) + self._net(x.flip(3))).numpy())
        return np.concatenate(done), np.ones(len(chips), np.float32)


def open_recognizers(named: list[str]) -> dict[str, Recognizer]:
    """The project's own and each NAME=FILE: own weights, an ONNX file, or EdgeFace-XS where the name begins with edgeface."""
    found: dict[str, Recognizer] = {"farsight": load_recognizer()}
    for name, file in (entry.split("=", 1) for entry in named):
        found[name] = EdgeFace(Path(file)) if name.startswith("edgeface") else load_recognizer(file)
    return found
