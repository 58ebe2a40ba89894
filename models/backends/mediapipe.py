"""MediaPipe's face detectors (BlazeFace short and full range) from their ``.tflite`` files, behind the `detect` contract.

They resize their input to 128 or 192 pixels. So a frame is searched whole and again in overlapping tiles of several sizes;
otherwise faces below a tenth of the frame are missed. Needs the extra `mediapipe`, which ships no model files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.faces import Faces, as_rgb

Frame = NDArray[np.uint8]
TILE = 256  # pixels
OVERLAP = 64  # pixels
MOUTH_SHARE = 0.4  # eye distances from the middle of the mouth to its corner: BlazeFace returns the middle only


class TiledDetector:
    """Searches a frame whole and in overlapping tiles.

    The tiles double in size until they hold the frame, because a face larger than the overlap may be cut by all small tiles. A
    face found several times is kept once, with its best score.

    Args:
        find: finds the faces of one image, uint8 (H, W, 3) RGB.
        tile: side of the smallest tiles, in pixels. Smaller ones find smaller faces and take more time.
        overlap: of neighbouring tiles, in pixels.
    """

    def __init__(self, find: Callable[[Frame], Faces], tile: int = TILE, overlap: int = OVERLAP) -> None:
        self._find, self._tile, self._overlap = find, tile, overlap

    def detect(self, frames: Sequence[Frame]) -> list[Faces]:
        """Find the faces of each frame, uint8 (H, W, 3) RGB or (H, W) grey."""
        return [self._one(np.ascontiguousarray(as_rgb(frame))) for frame in frames]

    def _one(self, frame: Frame) -> Faces:
        height, width = frame.shape[:2]
        parts = [self._find(frame)]
        side, overlap = self._tile, self._overlap
        while side < max(height, width):
            for y in tile_starts(height, side, overlap):
                for x in tile_starts(width, side, overlap):
                    tile = np.ascontiguousarray(frame[y : y + side, x : x + side])
                    faces = self._find(tile).scaled(1.0, x, y)
                    # A face cut by an inner edge of the tile lies whole in the next one.
                    region = (x, y, x + tile.shape[1], y + tile.shape[0])
                    parts.append(faces[faces.not_cut_by(region, frame.shape)])
            side, overlap = 2 * side, 2 * overlap
        return Faces.merge(parts).with_nms().without_nested()


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Start positions of tiles that cover ``length`` pixels and overlap by at least ``overlap``."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def load_mediapipe_detector(path: Path, min_score: float) -> TiledDetector:
    """Load a BlazeFace file.

    Args:
        path: the ``.tflite`` file.
        min_score: 0..1. Lower finds more faces and reports more false ones.

    Raises:
        ValueError: with the reason, if the file cannot be read or MediaPipe is not installed.
    """
    try:
        import mediapipe as mp
    except ImportError:
        raise ValueError(f"{path}: MediaPipe is not installed; run `make mediapipe` in Farsight's folder") from None
    vision = mp.tasks.vision
    try:
        content = path.read_bytes()  # its own error for a missing file is a page long
        options = vision.FaceDetectorOptions(
            base_options=mp.tasks.BaseOptions(model_asset_buffer=content), min_detection_confidence=min_score
        )
        net = vision.FaceDetector.create_from_options(options)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{path}: not a face detector of MediaPipe ({str(error).splitlines()[0]})") from None

    def find(image: Frame) -> Faces:
        size = np.array([image.shape[1], image.shape[0]], np.float32)
        detections = net.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).detections
        if not detections:
            return Faces.empty()
        boxes = [
            (b.origin_x, b.origin_y, b.origin_x + b.width, b.origin_y + b.height) for b in (f.bounding_box for f in detections)
        ]
        points = np.array([[(k.x, k.y) for k in face.keypoints[:4]] for face in detections], np.float32) * size
        scores = np.array([face.categories[0].score for face in detections], np.float32)
        return Faces(np.array(boxes, np.float32), with_mouth_corners(points), scores)

    return TiledDetector(find)


def with_mouth_corners(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn eyes, nose and middle of the mouth (N, 4, 2) into the five landmarks (N, 5, 2)."""
    across = (points[:, 1] - points[:, 0]) * MOUTH_SHARE
    mouth = points[:, 3]
    return np.stack([points[:, 0], points[:, 1], points[:, 2], mouth - across, mouth + across], 1)
