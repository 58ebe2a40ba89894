"""Photos that two detectors have judged, and what is kept of them for measuring."""

import csv
import io
import json
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.faces import Faces
from training.data import label_photos, voted
from training.data.alike import FingerprintSet, fingerprint
from training.data.held_out import held_out
from training.data.scenes import SURE, UNSURE, Scene
from training.data.voted import LABELS, Votes, load_votes, save_votes, second_scenes, voted_photos, votes_of

BOXES = [[10.25, 10, 30, 34], [50, 10, 70, 34], [90, 10, 110, 34], [10, 60, 30, 84]]
LABEL = {
    "size": [200, 100],
    "boxes": BOXES,
    "landmarks": np.repeat(np.array(BOXES)[:, None, :2] + 5, 5, 1).tolist(),
    "scores": [0.8, 0.8, 0.4, 0.3],
    "yunet": [0.9, 0.0, 0.8, 0.9],
    "yunet_alone": [[150, 10, 170, 34, 0.7]],
}


def test_the_labels_that_come_with_the_project_can_be_read() -> None:
    assert len(load_votes(LABELS)) > 1000


def photo(seed: int, size: tuple[int, int] = (100, 200)) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(0, 256, (10, 20, 3), np.uint8)
    return np.asarray(cv2.resize(rough, size[::-1], interpolation=cv2.INTER_CUBIC))


def test_a_face_needs_both_detectors_and_a_detection_of_one_is_ignored() -> None:
    scene = votes_of(LABEL).scene(photo(0))
    assert scene.scores.tolist() == pytest.approx([0.8, UNSURE, SURE, UNSURE, UNSURE])
    assert scene.boxes[-1].tolist() == [150, 10, 170, 34] and scene.landmarks.shape == (5, 5, 2)


def test_votes_are_kept_to_a_quarter_of_a_pixel(tmp_path: Path) -> None:
    votes = {
        "a+b/one.jpg": votes_of(LABEL),
        "a+b/none.jpg": Votes((30, 20), Faces.empty(), np.zeros(0, np.float32), Faces.empty()),
    }
    save_votes(tmp_path / "votes.npz", votes)
    kept = load_votes(tmp_path / "votes.npz")
    assert list(kept) == list(votes) and kept["a+b/one.jpg"].size == (200, 100) and len(kept["a+b/none.jpg"].faces) == 0
    for name in ("boxes", "landmarks", "scores"):
        for part in ("faces", "alone"):
            ours, theirs = (getattr(getattr(v["a+b/one.jpg"], part), name) for v in (votes, kept))
            assert theirs == pytest.approx(ours, abs=0.13 if name != "scores" else 0.003)
    assert kept["a+b/one.jpg"].scene(photo(0)).scores == pytest.approx(votes["a+b/one.jpg"].scene(photo(0)).scores, abs=0.003)


def test_second_scenes_are_read_without_what_is_kept_for_measuring(tmp_path: Path) -> None:
    folder = tmp_path / "scenes2"
    folder.mkdir()
    names = {"own_1.webp": "some/photos", "macwinwin_1.webp": "MacwinWin/face_mask_dataset"}
    with tarfile.open(folder / "scenes.tar", "w") as tar:
        for name in names:
            code = cv2.imencode(".webp", photo(1))[1].tobytes()
            info = tarfile.TarInfo(name)
            info.size = len(code)
            tar.addfile(info, io.BytesIO(code))
    (folder / "labels.json").write_text(json.dumps(dict.fromkeys(names, LABEL)))
    with (folder / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "repository", "path"])
        writer.writerows([name, repository, f"data/images/{name}"] for name, repository in names.items())
    assert [name for name, _ in second_scenes(tmp_path)] == ["some/photos/data/images/own_1.webp"]


def test_the_same_photo_is_known_again_smaller_coded_and_mirrored_and_another_is_not() -> None:
    shown = FingerprintSet()
    shown.add(fingerprint(photo(3)))
    again = cv2.imdecode(cv2.imencode(".jpg", cv2.resize(photo(3), (130, 65)))[1], cv2.IMREAD_COLOR)
    assert shown.has(fingerprint(np.asarray(again))) and not shown.has(fingerprint(photo(4)))
    mirrored = np.ascontiguousarray(photo(3)[:, ::-1])
    assert not shown.has(fingerprint(mirrored)) and shown.has(fingerprint(mirrored), fingerprint(photo(3)))


class Sees:
    """A detector that sees faces at the same shares of any picture."""

    def __init__(self, *boxes: list[float]) -> None:
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        height, width = frames[0].shape[:2]
        boxes = self.boxes * np.array([width, height, width, height], np.float32)
        points = np.repeat(boxes.reshape(-1, 2, 2).mean(1)[:, None], 5, 1)
        return [Faces(boxes, points, np.full(len(boxes), 0.8, np.float32))]


def test_photos_are_labelled_once_and_none_that_is_kept_for_measuring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = "MacwinWin+face_mask_dataset/data/images/3.jpg"
    for number, name in enumerate(["a+own/1.jpg", "a+own/2.jpg", kept, "b+other/4.png"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), photo(number % 3, (300, 900))[..., ::-1])  # the last is the first once more
    (tmp_path / "a+own" / "broken.jpg").write_bytes(b"no picture")
    (tmp_path / "b+other" / "kept.jpg").write_bytes((tmp_path / kept).read_bytes())
    seers = {"teacher.onnx": Sees([0.1, 0.1, 0.2, 0.4], [0.5, 0.1, 0.6, 0.4]), "witness.onnx": Sees([0.1, 0.1, 0.2, 0.4])}
    monkeypatch.setattr(label_photos, "load_detector", lambda path, *_: seers[path.name])
    out = tmp_path / "labels.npz"
    asked = {"photos": tmp_path, "teacher": "teacher.onnx", "witness": "witness.onnx", "out": out}
    monkeypatch.setattr(sys, "argv", ["label_photos", *(str(p) for k, v in asked.items() for p in (f"--{k}", v))])
    for _ in range(2):
        label_photos.main()
    told = load_votes(out)
    assert len(told) == 2 and {name.split("/")[0] for name in told} <= {"a+own", "b+other"}
    found = dict(voted_photos(tmp_path, out))
    assert set(found) == set(told)
    for name, scene in found.items():
        assert told[name].size == (640, 213) == scene.image.shape[1::-1]
        assert (scene.scores >= SURE).sum() >= 1 and scene.boxes[0] == pytest.approx([64, 21.3, 128, 85.2], abs=0.5)


def test_a_label_that_a_person_rejected_is_background(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    dog, child = [10.0, 10, 40, 50], [60.0, 10, 90, 50]
    monkeypatch.setattr(voted, "no_faces", lambda: {"some/things/a.jpg": np.array([[11, 9, 41, 50]], np.float32)})
    scene = Scene(
        np.zeros((80, 100, 3), np.uint8),
        np.array([dog, child], np.float32),
        np.zeros((2, 5, 2), np.float32),
        np.array([0.9, 0.8], np.float32),
    )
    assert voted.without_no_faces("some/things/a.jpg", scene).boxes.tolist() == [child]
    assert voted.without_no_faces("some/things/b.jpg", scene).boxes.tolist() == [dog, child]


def test_every_line_of_what_is_no_face_names_a_photo_and_a_box() -> None:
    boxes = voted.no_faces()
    assert len(boxes) > 100
    assert all(name.count("/") >= 2 and each.shape[1] == 4 and (each[:, 2:] > each[:, :2]).all() for name, each in boxes.items())
    assert not any(held_out("/".join(parts[:2]), "/".join(parts[2:])) for parts in (name.split("/") for name in boxes))
