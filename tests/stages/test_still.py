"""The last picture of a live camera."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from models.faces import Faces
from stages.records import Frame, TrackedFrame
from stages.still import Still


def tracked(captured: float | None = 1.0) -> TrackedFrame:
    faces = Faces(np.array([[100, 100, 160, 180]], np.float32), np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32))
    image = np.zeros((720, 1280, 3), np.uint8)
    return TrackedFrame(Frame("gate", 0, 0.0, image, captured), faces, np.zeros(1, np.int64))


def test_a_cameras_last_picture_shows_its_boxes_and_goes_when_the_camera_ends(tmp_path: Path) -> None:
    stage, frame = Still(tmp_path, width=640), tracked()
    stage.open()
    assert stage.process([frame]) == [frame]
    picture = cv2.imread(str(tmp_path / "stills" / "gate.jpg"))
    assert picture.shape == (360, 640, 3)
    assert picture[48, 60, 2] > 150 and picture[200, 400].max() < 10  # the box's upper edge is drawn, nothing else
    assert stage.process([frame]) == [frame] and len(list((tmp_path / "stills").iterdir())) == 1
    stage.flush()
    assert not list((tmp_path / "stills").iterdir())


def test_no_picture_of_recordings_and_none_where_the_output_folder_is_elsewhere(tmp_path: Path) -> None:
    for stage, frame in ((Still(tmp_path), tracked(None)), (Still(tmp_path / "elsewhere"), tracked())):
        stage.open()
        stage.process([frame])
    assert not list(tmp_path.rglob("*.jpg")) and not (tmp_path / "elsewhere").exists()


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "stills").symlink_to(tmp_path / "target")
    stage = Still(tmp_path)
    stage.open()
    stage.process([tracked()])
    assert not list((tmp_path / "target").iterdir())
