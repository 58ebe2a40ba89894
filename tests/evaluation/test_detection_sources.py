"""The detector's dev set of sources of which nothing trains."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from evaluation import detection_sources
from evaluation.detection_card import card_figures
from evaluation.detection_sources import build_report, detect_views, gate_report, recall_summary
from evaluation.false_sheet import CELL, FalsePositive, write_sheet
from evaluation.source_labels import CLIPS, Picture, load_pictures, photo_path, read_pictures
from models.chip import TEMPLATE
from models.faces import Faces
from tests.clips import write_clip
from training.data.held_out import held_out

FACE = "face\t10 10 34 34\t15 18 29 18 22 24 16 29 28 29"
SMALL = "faces\tMonsterVivy/shanghaitech\tpart_B/a.jpg\t96\t64\t"


class Bright:
    """Takes every bright square for a face; its score is its brightness."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[Faces]:
        found = []
        for frame in frames:
            grey = frame.max(2)
            _, _, stats, middles = cv2.connectedComponentsWithStats((grey > 60).astype(np.uint8))
            boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:]], np.float32).reshape(-1, 4)
            scores = np.array([grey[int(y), int(x)] / 255 for x, y in middles[1:]], np.float32)
            landmarks = np.repeat(boxes.reshape(-1, 2, 2).mean(1)[:, None], 5, 1).astype(np.float32)
            found.append(Faces(boxes, landmarks, scores))
        return found


def squares(*places: tuple[int, int, int, int]) -> np.ndarray:
    """A dark picture of 96 by 64 with squares (left, top, side, brightness)."""
    image = np.zeros((64, 96, 3), np.uint8)
    for x, y, side, light in places:
        image[y : y + side, x : x + side] = light
    return image


def labelled(folder: Path, labels: str, eye: str = "") -> list[Picture]:
    (folder / "labels.txt").write_text(labels)
    (folder / "eye.txt").write_text(eye)
    return load_pictures(folder / "labels.txt", folder / "eye.txt")


def test_the_shipped_dev_set_is_as_large_as_it_says_and_nothing_of_it_trains() -> None:
    pictures = load_pictures()
    widths = [(kind, box[2] - box[0]) for p in pictures if p.use == "faces" for kind, box in zip(p.kinds, p.boxes, strict=True)]
    assert sum(kind != "ignore" and width < 24 for kind, width in widths) >= 400
    assert sum(kind == "profile" for kind, _ in widths) >= 200 and sum(kind == "hidden" for kind, _ in widths) >= 100
    assert sum(p.use == "empty" for p in pictures) >= 500 and not any(p.boxes for p in pictures if p.use == "empty")
    assert sum(p.use == "single" for p in pictures) >= 300
    assert all(held_out(p.source, p.path) for p in pictures if p.source != CLIPS)
    assert all(x1 < x2 and y1 < y2 for p in pictures for x1, y1, x2, y2 in p.boxes)


def test_what_an_eye_saw_takes_the_place_of_the_teachers_word(tmp_path: Path) -> None:
    ignored = "ignore\t50 10 60 20\t"
    eye = ["part_B/a.jpg\tprofile\t11 10 34 35", "part_B/a.jpg\tnone\t50 10 60 20", "part_B/a.jpg\tface\t70 40 80 50"]
    (picture,) = labelled(tmp_path, "\n".join([SMALL, FACE, ignored]), "\n".join(eye))
    assert picture.kinds == ["profile", "face"] and picture.boxes == [[10, 10, 34, 34], [70, 40, 80, 50]]
    assert picture.landmarks[0][0] == 15 and np.isnan(picture.landmarks[1]).all()  # kept, and unknown


@pytest.mark.parametrize(
    ("labels", "eye"),
    [(FACE, ""), (SMALL + "\nhead\t1 2 3 4\t", ""), (SMALL, "b.jpg\tface\t1 2 3 4"), (SMALL, "part_B/a.jpg\thead\t1 2 3 4")],
)
def test_a_line_that_says_nothing_is_named(tmp_path: Path, labels: str, eye: str) -> None:
    with pytest.raises(ValueError, match=r"(labels|eye)\.txt:[12]: "):
        labelled(tmp_path, labels, eye)


def test_pictures_are_shrunk_and_cut_as_labelled_and_missing_ones_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "MonsterVivy+shanghaitech" / "part_B"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "a.png"), np.full((128, 192, 3), (10, 20, 30), np.uint8))
    (folder / "broken.png").write_bytes(b"no picture")
    write_clip(tmp_path / "walk.mp4", [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6], size=(96, 64))
    rows = [
        "empty\tMonsterVivy/shanghaitech\tpart_B/a.png\t96\t64\t10 0 50 30",
        "faces\tMonsterVivy/shanghaitech\tpart_B/a.png\t64\t64\t",
        "faces\tMonsterVivy/shanghaitech\tpart_B/broken.png\t96\t64\t",
        "faces\tMonsterVivy/shanghaitech\tpart_B/gone.png\t96\t64\t",
        "faces\tclips\twalk-00006\t96\t64\t",
        "faces\tclips\twalk-00009\t96\t64\t",
    ]
    shown = {(p.use, p.path): image for p, image in read_pictures(labelled(tmp_path, "\n".join(rows)), tmp_path, tmp_path)}
    cut = shown["empty", "part_B/a.png"]
    assert cut is not None and cut.shape == (30, 40, 3) and cut[0, 0].tolist() == [30, 20, 10]  # RGB
    frame = shown["faces", "walk-00006"]
    assert frame is not None and frame.shape == (64, 96, 3) and abs(int(frame[5, 5, 0]) - 34) < 4
    assert [path for (_, path), image in shown.items() if image is None] == [
        "part_B/a.png",  # of another shape than was labelled
        "part_B/broken.png",
        "part_B/gone.png",
        "walk-00009",
    ]


def test_recall_is_told_by_source_and_look_and_false_faces_by_score(tmp_path: Path) -> None:
    other = SMALL.replace("MonsterVivy/shanghaitech", "clips").replace("part_B/a.jpg", "walk-00001")
    empty = SMALL.replace("faces", "empty", 1)
    hidden = FACE.replace("face", "hidden")
    first, second, third = labelled(tmp_path, "\n".join([SMALL, FACE, other, hidden, empty]))
    detector = Bright()
    seen = detect_views(first, squares((10, 10, 24, 200)), detector)
    seen += detect_views(second, squares((60, 20, 20, 250)), detector)  # misses the face, and is sure of another place
    seen += detect_views(third, squares((60, 20, 20, 130)), detector)
    clean = build_report(seen)["clean"]
    assert clean["recall"]["MonsterVivy/shanghaitech"]["0.1"]["recall"]["24-32"] == 100
    assert clean["recall"]["clips"]["0.5"]["recall"]["24-32"] == 0 and clean["recall"]["clips"]["0.5"]["faces"]["hidden"] == 2
    assert clean["recall"]["all"]["0.5"]["recall"]["24-32"] == 50 and clean["recall"]["all"]["0.1"]["recall"]["24-32"] == 0
    empty_rows = clean["empty"]["full size"]
    assert empty_rows["pictures"] == 1 and empty_rows["0.5"] == {"a_picture": 1, "with_one": 100}  # the score is 0.51
    assert empty_rows["0.6"] == {"a_picture": 0, "with_one": 0}
    assert clean["at"]["all"]["0.6"]["recall"]["24-32"] == 50 and clean["at"]["all"]["0.6"]["false_a_picture"] == 0.5
    assert clean["empty"]["all sizes"]["pictures"] == 3


def test_the_sheet_shows_the_surest_false_face_of_a_place_once(tmp_path: Path) -> None:
    (picture,) = labelled(tmp_path, SMALL.replace("faces", "empty", 1))
    falses: list[FalsePositive] = []
    detect_views(picture, squares((60, 20, 20, 130), (10, 20, 12, 250)), Bright(), falses)
    told = write_sheet(tmp_path / "sheet.png", falses)
    assert len(told) == 2 and [round(float(str(row["score"])), 1) for row in told] == [1.0, 0.5]
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (CELL, 10 * CELL, 3)


def test_the_report_counts_photos_that_the_enrolment_gate_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (picture,) = labelled(tmp_path, SMALL.replace("faces", "single", 1).replace("a.jpg", "a.png"))
    place = photo_path(picture, tmp_path)
    place.parent.mkdir(parents=True)
    cv2.imwrite(
        str(place), cv2.resize(squares((10, 10, 24, 200), (60, 10, 24, 190)), None, fx=3, fy=3, interpolation=cv2.INTER_NEAREST)
    )
    monkeypatch.setattr(detection_sources, "load_recognizer", lambda **_: Sure())
    told = gate_report([picture], tmp_path, Framed())
    assert told["photos"] == 1 and told["several_faces_%"] == 100 and told["refused"][0][2].startswith("several_faces: 2")


class Framed(Bright):
    """`Bright` that ignores the grey frame the gate adds to a photo, and finds the landmarks of an upright face."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[Faces]:
        found = super().detect([np.where(frame > 180, frame, 0).astype(np.uint8) for frame in frames])
        return [
            Faces(f.boxes, f.boxes[:, None, :2] + TEMPLATE / 128 * (f.boxes[:, 2:] - f.boxes[:, :2])[:, None], f.scores)
            for f in found
        ]


class Sure:
    """A recogniser that takes every chip for a good one."""

    digest = "sure"

    def embed_with_quality(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.eye(len(chips), 4, dtype=np.float32), np.ones(len(chips), np.float32)


def test_a_report_counts_the_pictures_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = SMALL.replace("MonsterVivy/shanghaitech", CLIPS).replace("part_B/a.jpg", "walk-00001")
    pictures = labelled(tmp_path, SMALL + "\n" + clip)
    write_clip(tmp_path / "walk.mp4", [0.0, 0.1, 0.2], size=(96, 64))
    monkeypatch.setattr(detection_sources, "load_pictures", lambda: pictures)
    monkeypatch.setattr(detection_sources, "load_detector", lambda *_: Bright())
    out = tmp_path / "report.json"
    monkeypatch.setattr(
        sys, "argv", ["detection_sources", "--photos", str(tmp_path), "--clips", str(tmp_path), "--out", str(out)]
    )
    detection_sources.main()
    told = json.loads(out.read_text())
    assert told["missing"] == 1 and told["pictures"] == 2 and set(told["detectors"]["farsight"]) == {"clean", "poor"}


def test_a_folder_without_any_of_the_pictures_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = labelled(tmp_path, SMALL)
    monkeypatch.setattr(detection_sources, "load_pictures", lambda: pictures)
    monkeypatch.setattr(detection_sources, "load_detector", lambda *_: Bright())
    monkeypatch.setattr(sys, "argv", ["detection_sources", "--photos", str(tmp_path), "--out", str(tmp_path / "report.json")])
    with pytest.raises(SystemExit, match="none of the 1 pictures is there"):
        detection_sources.main()


def test_a_find_on_an_ignored_head_or_on_a_face_too_small_to_measure_is_no_false_positive(tmp_path: Path) -> None:
    head, tiny = "ignore\t40 10 70 40\t", "face\t10 10 16 16\t"
    (picture,) = labelled(tmp_path, "\n".join([SMALL, head, tiny]))
    # a small box within the large head; one beside the tiny face, two pixels off; one that is of nothing
    seen = detect_views(picture, squares((44, 12, 12, 200), (12, 12, 6, 220), (80, 40, 10, 250)), Bright())
    full = [view for view in seen if view.size == 1 and view.look == "clean"]
    (matched,) = (view.result for view in full)
    assert [round(255 * float(s)) for s in matched.faces.scores[matched.face_index < 0]] == [250]
    assert recall_summary(full, 0.1)["false_a_picture"] == 1 and sum(recall_summary(full, 0.1)["faces"].values()) == 0


def test_the_card_holds_recall_at_one_rate_by_source_and_false_faces_of_face_free_pictures(tmp_path: Path) -> None:
    face = "face\t10 10 50 60\t"
    pictures = labelled(tmp_path, "\n".join([SMALL, face]))
    report = build_report(detect_views(pictures[0], squares((10, 10, 40, 250)), Bright()))
    figures = card_figures(report, 4)
    assert figures["command"].endswith("--every 4")
    assert [(row["look"], row["source"]) for row in figures["rows"]][:3] == [
        ("clean", "all"),
        ("clean", "MonsterVivy/shanghaitech"),
        ("clean", "face-free"),
    ]
    assert figures["rows"][0]["recall"] == report["clean"]["recall"]["all"]["0.5"]["recall"]
    assert set(figures["rows"][2]) == {"look", "source", "pictures", "0.2", "0.4", "0.6"}
