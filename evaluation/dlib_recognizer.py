"""dlib's recogniser, which many programs use through the package face_recognition, as a yardstick.

Needs dlib (`pip install dlib`, which builds it, or `dlib-bin`) and, beside each other, the two files of the package
face_recognition_models that it takes: ``dlib_face_recognition_resnet_model_v1.dat`` and ``shape_predictor_5_face_landmarks.dat``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from evaluation.lfw import Chips, Embeddings, enlarge
from models.chip import TEMPLATE

LANDMARKS = "shape_predictor_5_face_landmarks.dat"
BATCH = 64
ROOM = 1.15  # eye distances from the middle of eyes and mouth to each side of the box that dlib's own detector would give


class Dlib:
    """What is asked of a chip: where dlib's five landmarks are in it, and the vector of dlib's own cut by them, as
    `face_recognition.face_encodings` does for a box. It knows no quality. dlib compares by distance, the tables by cosine; its
    vectors are of nearly one length."""

    def __init__(self, weights: Path) -> None:
        try:
            import dlib  # an extra, which only this needs
        except ImportError:
            raise SystemExit(f"{weights}: dlib is not installed; pip install dlib-bin") from None
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
