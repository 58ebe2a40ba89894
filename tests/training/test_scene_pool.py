"""From labelled photos and frames to a pool of scenes, and from the pool to a detector."""

import io
import json
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import Faces
from training import scene_pool, train_detector
from training.runs import made
from training.scene_pool import load_pool, lures, shared
from training.scenes import Scene

LABEL = {"boxes": [[40, 40, 80, 90]], "landmarks": [[[50, 60], [70, 60], [60, 70], [52, 80], [68, 80]]], "scores": [0.9]}


class Everywhere:
    """Takes the labelled face, all of the person and the far corner for faces, at any size."""

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        scale = frames[0].shape[1] / 400
        boxes = np.array([[40, 40, 80, 90], [20, 20, 160, 220], [300, 300, 340, 350]], np.float32) * scale
        return [Faces(boxes, np.zeros((3, 5, 2), np.float32), np.ones(3, np.float32))]


@pytest.fixture
def labelled(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The data folder with ten scene photos, and a folder of one frame, all with one face."""
    picture = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    code = cv2.imencode(".jpg", picture)[1].tobytes()
    (data / "scenes").mkdir(exist_ok=True)
    with tarfile.open(data / "scenes" / "scenes.tar", "w") as tar:
        for number in range(10):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = len(code)
            tar.addfile(info, io.BytesIO(code))
    (data / "scenes" / "labels.json").write_text(json.dumps({f"{n}.jpg": LABEL for n in range(10)}))
    frames = tmp_path / "frames"
    frames.mkdir()
    (frames / "clip-00000.jpg").write_bytes(code)
    (frames / "labels.json").write_text(json.dumps({"clip-00000.jpg": LABEL}))
    (frames / "command.txt").write_text("label")
    monkeypatch.setattr(scene_pool, "SmallFaceDetector", lambda *_, **__: Everywhere())
    return frames


def test_hard_negatives_are_finds_without_a_label(labelled: Path) -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[300:350, 300:340] = 255
    scene = Scene(picture, *(np.array(LABEL[name], np.float32) for name in ("boxes", "landmarks", "scores")))
    found = lures([scene])
    assert len(found) == len(scene_pool.LURE_SCALES)
    assert all(piece.mean() > 60 for piece in found)  # the white corner, not the face
    assert lures([scene], Everywhere()) == []


def test_what_a_piece_shares_with_a_face() -> None:
    faces = np.array([[0, 0, 40, 40], [100, 100, 300, 300]], np.float32)
    assert shared([30, 0, 70, 40], faces) == 0.25 and shared([120, 120, 140, 140], faces) == 1.0  # part of it, and within
    assert shared([40, 40, 90, 90], faces) == shared([0, 0, 9, 9], faces[:0]) == 0.0


def test_a_pool_and_a_training_from_it(run, data: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "scenes"
    arguments = ["--data", str(data), "--cache", str(data), "--frames", str(labelled), "--out", str(out), "--number", "12"]
    monkeypatch.setattr(sys, "argv", ["scene_pool", *arguments])
    scene_pool.main()
    pool = load_pool(out)
    assert len(pool) == 12 and sum(len(s.scores) for s in pool) > 12
    assert all(s.image.shape == (320, 320, 3) and s.boxes.shape == (len(s.scores), 4) for s in pool)
    first = run(train_detector, "detector", "--scenes", str(out))
    (labelling, pooling), training = made(first).commands[:2], made(first).commands[2]
    assert labelling == "label" and pooling.startswith("python -m training.scene_pool") and "--scenes" in training
    assert made(run(train_detector, "again", "--scenes", str(out), "--start", str(first))).samples == 2 * made(first).samples
