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
from training.common.runs import provenance_of
from training.data import second_opinion
from training.data.chips import load_chips
from training.data.scenes import Scene
from training.detector import scene_pool
from training.detector import train as train_detector
from training.detector.scene_maker import UNSURE
from training.detector.scene_pool import cached_hard_negatives, hard_negatives_key, load_pool, mine_hard_negatives, overlap_share

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


def test_hard_negatives_are_detections_without_a_label(labelled: Path) -> None:
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[300:350, 300:340] = 255
    scene = Scene(picture, *(np.array(LABEL[name], np.float32) for name in ("boxes", "landmarks", "scores")))
    found = mine_hard_negatives([scene])
    assert len(found) == len(scene_pool.HARD_NEGATIVE_SCALES)
    assert all(piece.mean() > 60 for piece in found)  # the white corner, not the face
    assert mine_hard_negatives([scene], Everywhere()) == []


def test_the_overlap_of_a_crop_with_a_face_is_a_share_of_the_smaller_one() -> None:
    faces = np.array([[0, 0, 40, 40], [100, 100, 300, 300]], np.float32)
    assert (
        overlap_share([30, 0, 70, 40], faces) == 0.25 and overlap_share([120, 120, 140, 140], faces) == 1.0
    )  # part of it, and within
    assert overlap_share([40, 40, 90, 90], faces) == overlap_share([0, 0, 9, 9], faces[:0]) == 0.0


def test_a_pool_and_a_training_from_it(run, data: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "scenes"
    arguments = ["--data", str(data), "--cache", str(data), "--frames", str(labelled), "--out", str(out), "--number", "12"]
    monkeypatch.setattr(sys, "argv", ["training/detector/scene_pool.py", *arguments])
    scene_pool.main()
    pool = load_pool(out)
    assert len(pool) == 12 and sum(len(s.scores) for s in pool) > 12
    assert all(s.image.shape == (320, 320, 3) and s.boxes.shape == (len(s.scores), 4) for s in pool)
    first = run(train_detector, "detector", "--scenes", str(out))
    (labelling, pooling), training = provenance_of(first).commands[:2], provenance_of(first).commands[2]
    assert labelling == "label" and pooling.startswith("python -m training.detector.scene_pool") and "--scenes" in training
    assert (
        provenance_of(run(train_detector, "again", "--scenes", str(out), "--start", str(first))).samples
        == 2 * provenance_of(first).samples
    )


def test_turned_chips_are_pasted_as_well(data: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turned = tmp_path / "turned"
    turned.mkdir()
    np.save(turned / "images.npy", np.full((40, 128, 128, 3), (250, 0, 250), np.uint8))
    faces = np.tile(np.array([[30, 20, 90, 110]], np.float32), (40, 1))
    told = {"boxes": faces, "landmarks": np.repeat(faces[:, None, :2], 5, 1), "scores": np.full(40, 0.6, np.float32)}
    np.savez(turned / "faces.npz", **told)
    (turned / "command.txt").write_text("turned")
    rest = ["--cache", str(data), "--out", str(tmp_path / "scenes"), "--number", "30", "--turned", str(turned)]
    monkeypatch.setattr(sys, "argv", ["scene_pool", "--data", str(data), "--frames", str(labelled), *rest])
    with pytest.raises(SystemExit, match=r"chips\.npz: --turned needs"):
        scene_pool.main()
    count = len(load_chips(data, data).images)
    np.savez(labelled / "chips.npz", **{name: np.resize(part, (count, *part.shape[1:])) for name, part in told.items()})
    scene_pool.main()
    assert (tmp_path / "scenes" / "command.txt").read_text().splitlines()[1] == "turned"
    pictures = np.stack([scene.image for scene in load_pool(tmp_path / "scenes")]).astype(int)
    assert ((pictures[..., 0] - pictures[..., 1] > 60) & (pictures[..., 2] - pictures[..., 1] > 60)).mean() > 0.005


PIECES = [np.full((9, 12, 3), 200, np.uint8), np.full((30, 8, 3), 40, np.uint8)]


def test_hard_negatives_are_kept_as_long_as_nothing_they_depend_on_changes(tmp_path: Path) -> None:
    file, key, makes = tmp_path / "lures.npz", {"witness": "one.onnx", "labels": "1"}, []

    def read(key: dict[str, str], can_make: bool = True, made: list[np.ndarray] = PIECES) -> list[np.ndarray]:
        return cached_hard_negatives(file, key, lambda: makes.append(key) or made, can_make)  # type: ignore[func-returns-value]

    for _ in range(2):
        pieces = read(key)
        assert [p.shape for p in pieces] == [p.shape for p in PIECES] and np.abs(pieces[0].astype(int) - 200).max() < 5
    assert len(makes) == 1 and list(tmp_path.iterdir()) == [file]
    assert read(key | {"labels": "2"}, made=[]) == [] == read(key | {"labels": "2"}) and len(makes) == 2
    assert len(read(key | {"witness": "two.onnx"})) == 2 and len(makes) == 3
    with pytest.raises(ZeroDivisionError):
        cached_hard_negatives(file, key, lambda: [PIECES[1 // 0]])
    assert len(read(key | {"witness": "two.onnx"})) == 2 and len(makes) == 3  # what could not be replaced is whole
    with np.load(file) as kept:
        np.savez(file, sizes=kept["sizes"], codes=kept["codes"])  # as older versions wrote it
    with pytest.raises(SystemExit, match=r"two\.onnx, whose own file is not there"):
        read(key | {"witness": "two.onnx"}, can_make=False)
    assert len(read(key)) == 2 and len(makes) == 4


def test_without_the_witness_file_cached_hard_negatives_of_its_name_are_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, key = tmp_path / "lures.npz", {"witness": "one.onnx", "labels": "1"}
    cached_hard_negatives(file, key, lambda: PIECES)
    assert len(cached_hard_negatives(file, key, list, can_make=False)) == 2 and not capsys.readouterr().out
    assert (
        len(cached_hard_negatives(file, key | {"labels": "2"}, list, can_make=False)) == 2
        and "other labels" in capsys.readouterr().out
    )
    for other in (file, tmp_path / "none.npz"):
        with pytest.raises(SystemExit, match=r"two\.onnx, whose own file is not there"):
            cached_hard_negatives(other, {"witness": "two.onnx", "labels": "1"}, list, can_make=False)


def test_hard_negatives_depend_on_detector_witness_and_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [tmp_path / "photos.json", tmp_path / "frames.json"]
    for file in labels:
        file.write_text("{}")
    keys = [
        hard_negatives_key(None, labels),
        hard_negatives_key(Path("one.onnx"), labels),
        hard_negatives_key(Path("elsewhere/two.onnx"), labels),
    ]
    assert hard_negatives_key(Path("two.onnx"), labels) == keys[-1]
    labels[1].write_text("{} ")
    keys.append(hard_negatives_key(None, labels))
    monkeypatch.setattr(scene_pool, "SHIPPED", labels[0])
    keys.append(hard_negatives_key(None, labels))
    assert len({tuple(key.values()) for key in keys}) == len(keys)


def test_a_pool_learns_of_the_second_opinion(data: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    witness, makes, own = tmp_path / "witness.onnx", [], ["--data", str(data), "--frames", str(labelled)]
    witness.touch()

    def pool() -> str:
        rest = ["--cache", str(data), "--out", str(tmp_path / "scenes"), "--number", "1", "--processes", "1"]
        monkeypatch.setattr(sys, "argv", ["scene_pool", *own, *rest, "--witness", str(witness)])
        scene_pool.main()
        return (tmp_path / "scenes" / "command.txt").read_text()

    for module in (second_opinion, scene_pool):
        monkeypatch.setattr(module, "load_detector", lambda *_: Everywhere())
    monkeypatch.setattr(scene_pool, "mine_hard_negatives", lambda *_: makes.append(1) or PIECES)
    assert len(pool().splitlines()) == 2
    of_teacher = scene_pool._maker
    monkeypatch.setattr(sys, "argv", ["second_opinion", *own, "--witness", str(witness)])
    second_opinion.main()
    (labelled / "chips.txt").write_text("chips")
    first, second, third, last = pool().splitlines()
    assert first == "label" and "second_opinion" in second and third == "chips" and "scene_pool" in last
    for before, after in ((of_teacher.photos, scene_pool._maker.photos), (of_teacher.frames, scene_pool._maker.frames)):
        assert len(before) == len(after) > 0 and all(np.allclose(s.scores, [0.9]) for s in before)
        assert all(np.allclose(s.scores, [0.9, UNSURE, UNSURE]) for s in after)
    assert len(makes) == 2  # other labels, other hard negatives
    witness.unlink()
    pool()
    assert len(makes) == 2 and len(scene_pool._maker.hard_negatives) == len(PIECES)
    (labelled / "command.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"command\.txt"):
        pool()
