"""dlib's recogniser as a baseline; many programs use it through the package face_recognition.

Needs dlib (`pip install dlib`, which compiles it, or `dlib-bin`) and, in one folder, two files of the package
face_recognition_models: ``dlib_face_recognition_resnet_model_v1.dat`` and ``shape_predictor_5_face_landmarks.dat``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluation.lfw import Chips, Embeddings, enlarge
from models.chip import TEMPLATE

LANDMARKS = "shape_predictor_5_face_landmarks.dat"
BATCH = 64
ROOM = 1.15  # half side of the face box in eye distances, as dlib's detector gives it


class Dlib:
    """dlib behind the `evaluation.lfw.Recognizer` interface.

    It finds dlib's five landmarks in the chip and embeds dlib's own crop, as `face_recognition.face_encodings` does for a box.
    The quality is always 1. dlib compares by distance and the tables by cosine; its embeddings have nearly the same length.

    Args:
        weights: ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        SystemExit: dlib or a file is missing, or a file cannot be read.
    """

    def __init__(self, weights: Path) -> None:
        try:
            import dlib  # optional
        except ImportError:
            raise SystemExit(f"{weights}: needs dlib, which is not installed; run pip install dlib-bin") from None
        landmarks = weights.with_name(LANDMARKS)
        if not landmarks.is_file():
            raise SystemExit(f"{landmarks}: no such file; it comes with {weights.name}")
        try:
            self._net: Any = dlib.face_recognition_model_v1(str(weights))
            self._landmarks: Any = dlib.shape_predictor(str(landmarks))
        except RuntimeError as error:
            raise SystemExit(f"{weights}: {error}") from None
        (left, right), mouth = TEMPLATE[:2], TEMPLATE[3:].mean(0)
        middle, reach = (left + right + 2 * mouth) / 4, ROOM * float(np.linalg.norm(right - left))
        edges = np.concatenate([middle - reach, middle + reach]).round().astype(int).tolist()
        self._box, self._found = dlib.rectangle(*edges), dlib.full_object_detections

    def embed_with_quality(self, chips: Chips) -> tuple[Embeddings, Embeddings]:
        done = []
        for start in range(0, len(chips), BATCH):
            pictures = list(enlarge(chips[start : start + BATCH]))
            shapes = [self._found([self._landmarks(picture, self._box)]) for picture in pictures]
            done.append(np.array(self._net.compute_face_descriptor(pictures, shapes), np.float32)[:, 0])
        vectors = np.concatenate(done)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.ones(len(chips), np.float32)
