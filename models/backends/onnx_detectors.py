"""Third-party face detectors from their ONNX files, behind the `detect` contract.

YuNet runs through OpenCV's own `FaceDetectorYN`, SCRFD (with landmarks) through onnxruntime. The outputs of a file tell which
one it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.backends.onnx_session import open_session
from models.faces import Faces, as_rgb

Frame = NDArray[np.uint8]


class YuNet:
    """OpenCV's YuNet at the frame's own size, on the CPU.

    Args:
        path: the ``.onnx`` file.
        min_score: 0..1. Lower finds more faces and reports more false ones.
    """

    def __init__(self, path: Path, min_score: float) -> None:
        self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score, 0.4, 5000)

    def detect(self, frames: Sequence[Frame]) -> list[Faces]:
        """Find the faces of each frame, uint8 (H, W, 3) RGB or (H, W) grey. Raises ValueError for anything else."""
        return [self._one(as_rgb(frame)) for frame in frames]

    def _one(self, frame: Frame) -> Faces:
        self._net.setInputSize((frame.shape[1], frame.shape[0]))
        _, found = self._net.detect(np.ascontiguousarray(frame[..., ::-1]))
        if found is None:
            return Faces.empty()
        rows: NDArray[np.float32] = np.asarray(found, np.float32)
        boxes = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
        return Faces(boxes, rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14])


class Scrfd:
    """SCRFD with landmarks (arXiv 2105.04714), as its authors export it: strides 8, 16 and 32, two anchors a cell.

    The frame is resized to fit the network's input: the size fixed in the file, else 640×640.

    Args:
        path: the ``.onnx`` file.
        min_score: 0..1. Lower finds more faces and reports more false ones.
        device: ``cpu``, ``cuda`` or ``auto``.
    """

    STRIDES = (8, 16, 32)
    ANCHORS = 2

    def __init__(self, path: Path, min_score: float, device: str = "cpu") -> None:
        self._session = open_session(path, device)
        entry = self._session.get_inputs()[0]
        self._input = entry.name
        self._side = entry.shape[2] if isinstance(entry.shape[2], int) else 640
        self._min_score = min_score

    def detect(self, frames: Sequence[Frame]) -> list[Faces]:
        """Find the faces of each frame, uint8 (H, W, 3) RGB or (H, W) grey. Raises ValueError for anything else."""
        return [self._one(as_rgb(frame)) for frame in frames]

    def _one(self, frame: Frame) -> Faces:
        scale = self._side / max(frame.shape[:2])
        width, height = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        canvas = np.full((self._side, self._side, 3), -127.5 / 128, np.float32)  # black
        canvas[:height, :width] = (cv2.resize(frame, (width, height)).astype(np.float32) - 127.5) / 128
        outputs = self._session.run(None, {self._input: canvas.transpose(2, 0, 1)[None]})
        parts = []
        for level, stride in enumerate(self.STRIDES):
            scores, distances, points = (_rows(outputs[level + 3 * kind]) for kind in range(3))
            keep = scores[:, 0] >= self._min_score
            cells = self._side // stride
            rows, columns = np.divmod(np.flatnonzero(keep) // self.ANCHORS, cells)
            centres = np.stack([columns, rows], 1).astype(np.float32) * stride
            sides = distances[keep] * stride
            boxes = np.hstack([centres - sides[:, :2], centres + sides[:, 2:]])
            landmarks = centres[:, None] + points[keep].reshape(-1, 5, 2) * stride
            parts.append(Faces(boxes.astype(np.float32), landmarks.astype(np.float32), scores[keep, 0]))
        return Faces.merge(parts).with_nms().scaled(1 / scale)


def _rows(output: object) -> NDArray[np.float32]:
    """Values of each anchor (M, k), for files with and without a batch axis."""
    values = np.asarray(output, np.float32)
    return values.reshape(-1, values.shape[-1])


def load_onnx_detector(path: Path, min_score: float, device: str = "cpu") -> YuNet | Scrfd:
    """Load a YuNet or SCRFD file. Raises ValueError with the reason if it is neither or cannot be read."""
    outputs = [output.name for output in open_session(path, "cpu").get_outputs()]
    if len(outputs) == 12 and outputs[0].startswith("cls"):
        return YuNet(path, min_score)
    if len(outputs) == 9:
        return Scrfd(path, min_score, device)
    raise ValueError(f"{path}: neither YuNet (12 outputs) nor SCRFD with landmarks (9 outputs), it has {len(outputs)}")
