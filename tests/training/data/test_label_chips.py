"""Where a teacher sees the face in each chip, from sheets of chips to the file that the maker of scenes reads."""

import sys
from pathlib import Path

import numpy as np
import pytest

from models.faces import Faces
from training.data import label_chips
from training.data.label_chips import detect_in_sheet
from training.detector.scene_pool import load_chip_labels

FACE = np.array([30, 20, 90, 110], np.float32)


def on_a_sheet(*told: tuple[int, float, float]) -> Faces:
    """Faces by the chip's place, how far right of `FACE` and the score."""
    boxes = np.array([FACE + np.tile((place % 5 * 128 + right, place // 5 * 128), 2) for place, right, _ in told], np.float32)
    return Faces(boxes, np.repeat(boxes[:, None, :2], 5, 1), np.array([score for *_, score in told], np.float32))


class Teacher:
    def __init__(self, *told: tuple[int, float, float]) -> None:
        self.told, self.sheets = on_a_sheet(*told), []

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        self.sheets += frames
        return [self.told]


def test_each_chip_has_the_best_face_near_its_middle() -> None:
    teacher = Teacher((0, 0, 0.9), (7, 4, 0.5), (7, 2, 0.8), (7, 6, 0.6), (2, 60, 0.9), (8, 0, 0.9))
    shades = np.repeat(np.arange(8, dtype=np.uint8), 128 * 128 * 3).reshape(8, 128, 128, 3)
    found = detect_in_sheet(teacher, shades)
    assert np.allclose(found.scores, [0.9, 0, 0, 0, 0, 0, 0, 0.8])  # not what lies between two chips or where there is none
    assert np.allclose(found.boxes[[0, 7]], [FACE, FACE + (2, 0, 2, 0)]) and np.allclose(found.landmarks[7], FACE[:2] + (2, 0))
    (sheet,) = teacher.sheets
    assert sheet.shape == (640, 640, 3) and (sheet[128:256, 256:384] == 7).all() and not sheet[256:].any()


def test_the_labels_written_are_those_that_the_pool_reads(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "chips.npz"
    assert load_chip_labels(out) is None
    monkeypatch.setattr(label_chips, "load_detector", lambda *_: Teacher((0, 0, 0.9), (23, 1, 0.25)))
    arguments = ["--data", str(data), "--cache", str(data), "--teacher", "teacher.onnx", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["training/data/label_chips.py", *arguments])
    label_chips.main()
    told = load_chip_labels(out)
    assert told is not None and len(told) == 24 and np.flatnonzero(told.scores).tolist() == [0, 23]
    assert np.allclose(told.boxes[23], FACE + (1, 0, 1, 0)) and told.boxes.dtype == told.landmarks.dtype == np.float32
    assert out.with_suffix(".txt").read_text().startswith("python -m training.data.label_chips")
