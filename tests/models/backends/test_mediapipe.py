import importlib.util
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models import load_detector
from models.backends.mediapipe import TiledDetector, tile_starts, with_mouth_corners
from models.faces import Faces

WEIGHTS = Path(os.environ.get("FARSIGHT_BLAZEFACE", "/nowhere"))  # a folder with MediaPipe's .tflite files
INSTALLED = importlib.util.find_spec("mediapipe") is not None


def find_bright(picture: np.ndarray) -> Faces:
    """A detector of white squares that sees only those that fill a fair part of the picture."""
    rows, columns = np.nonzero(picture[..., 0] > 200)
    if len(rows) == 0 or np.ptp(columns) < picture.shape[1] / 12:
        return Faces.empty()
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    return Faces(box, np.repeat(box.reshape(1, 2, 2).mean(1)[:, None], 5, 1), np.array([0.9], np.float32))


@pytest.mark.parametrize("place", [(300, 200), (0, 0), (1250, 690), (640, 250)])
def test_small_faces_are_found_in_tiles_once_and_whole(place: tuple[int, int]) -> None:
    x, y = place
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[y : y + 30, x : x + 30] = 255
    assert len(find_bright(frame)) == 0  # too small for the frame as a whole
    (faces,) = TiledDetector(find_bright).detect([frame])
    assert faces.boxes.tolist() == [[x, y, x + 30, y + 30]]


@pytest.mark.parametrize("x", range(150, 1150, 50))
def test_a_face_larger_than_the_overlap_is_found_in_a_larger_tile(x: int) -> None:
    frame = np.zeros((720, 1280, 3), np.uint8)
    frame[310:410, x : x + 100] = 255
    assert len(find_bright(frame)) == 0
    (faces,) = TiledDetector(find_bright).detect([frame])
    assert faces.boxes.tolist() == [[x, 310, x + 100, 410]]


@pytest.mark.parametrize("length", [100, 256, 257, 640, 1080, 1920])
def test_tiles_cover_the_frame(length: int) -> None:
    found = tile_starts(length, 256, 64)
    assert found[0] == 0 and found[-1] == max(0, length - 256)
    assert all(b - a <= 192 for a, b in pairwise(found))


def test_a_face_that_reaches_out_of_the_frame_is_kept() -> None:
    def find(picture: np.ndarray) -> Faces:
        if picture.shape[1] > 256:
            return Faces.empty()
        box = np.array([[-5, -4, 30, 31]], np.float32)  # MediaPipe's boxes may begin outside
        return Faces(box, np.zeros((1, 5, 2), np.float32), np.array([0.9], np.float32))

    (faces,) = TiledDetector(find).detect([np.zeros((256, 600, 3), np.uint8)])
    assert [-5.0, -4.0] in faces.boxes[:, :2].tolist() and len(faces) == 1  # in other tiles the same box is a cut one


def test_mouth_corners_lie_along_the_eyes() -> None:
    points = np.array([[(0, 0), (10, 0), (5, 5), (5, 10)]], np.float32)
    assert with_mouth_corners(points)[0, 3:].tolist() == [[1, 10], [9, 10]]


def test_a_missing_package_or_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="not a face detector of MediaPipe" if INSTALLED else "MediaPipe is not installed"):
        load_detector(tmp_path / "x.tflite")


@pytest.mark.skipif(not INSTALLED or not WEIGHTS.is_dir(), reason="needs mediapipe and its model files in FARSIGHT_BLAZEFACE")
@pytest.mark.parametrize("name", ["blazeface_short_range.tflite", "blazeface_full_range_sparse.tflite"])
def test_blazeface_finds_a_face_in_a_large_frame(name: str, chips: np.ndarray) -> None:
    frame = np.full((720, 1280, 3), 90, np.uint8)
    frame[300:428, 700:828] = chips[0]
    (faces,) = load_detector(WEIGHTS / name, min_score=0.5).detect([frame])
    assert len(faces) == 1
    assert np.abs(faces.landmarks[0, 0] - (700 + 46, 300 + 60)).max() < 8
