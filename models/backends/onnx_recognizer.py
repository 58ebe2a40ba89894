"""Third-party ArcFace-style recognisers from their ONNX files, behind the `embed` contract.

Such a file takes RGB (N, 3, side, side) in [-1, 1], the chip's centre 112 of 128 pixels, and returns one embedding a face. It
predicts no quality: a chip has quality 1 unless it is flat or its embedding is not finite. Thresholds need impostor scores;
``python -m evaluation.recognition --data DATA --recognizer other=FILE --write-card`` measures them into a card beside the file.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.backends.onnx_session import open_session
from models.chip import CHIP
from models.embedding import Embedder
from models.networks.recognizer import VIEW
from models.weights_io import digest

MARGIN = (CHIP - VIEW) // 2  # of the chip, that the recogniser does not see


class OnnxEmbedder(Embedder):
    """An `Embedder` that runs an ONNX file.

    Args:
        path: the ``.onnx`` file.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        ValueError: with the reason, if the file cannot be read or is no recogniser.
    """

    def __init__(self, path: Path, device: str) -> None:
        self._session = open_session(path, device)
        entry, first = self._session.get_inputs()[0], self._session.get_outputs()[0]
        shape, vector = entry.shape, first.shape
        square = len(shape) == 4 and len({side for side in shape[2:] if isinstance(side, int)}) < 2
        if not square or shape[1] != 3 or len(vector) != 2 or not isinstance(vector[1], int):
            raise ValueError(f"{path}: not a recogniser: takes {shape}, gives {vector}; (N, 3, side, side) and (N, D) are needed")
        self.card = read_or_new_card(path)
        self.digest, self.dim = self.card["sha256"], vector[1]
        self._input, self._output = entry.name, first.name
        self._side = shape[2] if isinstance(shape[2], int) else VIEW
        self._single = shape[0] == 1
        try:
            self._run(np.zeros((2, 3, self._side, self._side), np.float32))
        except Exception as error:
            raise ValueError(f"{path}: cannot be run on two float32 images ({str(error).splitlines()[0]})") from None

    def _batch(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        x = np.stack([self._preprocess(chip) for chip in chips]).transpose(0, 3, 1, 2)
        total = self._run(x) + self._run(x[..., ::-1])
        valid = np.isfinite(total).all(1) & total.any(1)
        total[~valid] = 1.0
        return (total / np.linalg.norm(total, axis=1, keepdims=True)).astype(np.float32), valid.astype(np.float32)

    def _preprocess(self, chip: NDArray[np.uint8]) -> NDArray[np.float32]:
        if len(chip) != CHIP:
            chip = cv2.resize(chip, (CHIP, CHIP), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        centre = chip[MARGIN:-MARGIN, MARGIN:-MARGIN]
        if self._side != VIEW:
            centre = cv2.resize(centre, (self._side, self._side), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return (centre.astype(np.float32) - 127.5) / 127.5

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = np.split(x, len(x)) if self._single else [x]
        return np.concatenate(
            [np.asarray(self._session.run([self._output], {self._input: np.ascontiguousarray(p)})[0]) for p in parts]
        )


def read_or_new_card(path: Path) -> dict[str, Any]:
    """Read the card beside an ONNX file; without one, make one of its digest. Raises ValueError for another file's card."""
    found = digest(path)
    try:
        card: dict[str, Any] = json.loads(path.with_suffix(".json").read_text())
    except FileNotFoundError:
        return {"kind": "recognizer", "sha256": found}
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.with_suffix('.json')}: not a readable card ({error})") from None
    if not isinstance(card, dict) or card.get("sha256") != found:
        raise ValueError(f"{path}: the file does not match the sha256 of its card; it was cut or changed")
    return card
