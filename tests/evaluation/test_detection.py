import numpy as np
import pytest

from evaluation.detection import (
    NEAR,
    SIZES,
    at_scales,
    match_detections,
    metrics_by_width,
    near_face_recall,
    score_at_fp_rate,
    summarise,
    views_at_scales,
)
from evaluation.detection_truth import add_ignored, ignored_boxes
from models.faces import Faces
from training.data.scenes import Scene


def boxes(*widths_at: tuple[float, float]) -> np.ndarray:
    """Square boxes of a width at an x."""
    return np.array([(x, 10, x + w, 10 + w) for w, x in widths_at], np.float32).reshape(-1, 4)


def marks(of: np.ndarray, away: float = 0.0) -> np.ndarray:
    return np.repeat(of.reshape(-1, 2, 2).mean(1)[:, None], 5, 1) + np.array([away, 0], np.float32)


def scene(truth: np.ndarray, scores: list[float]) -> Scene:
    return Scene(np.zeros((60, 300, 3), np.uint8), truth, marks(truth), np.array(scores, np.float32))


def found(of: np.ndarray, scores: list[float], away: float = 0.0) -> Faces:
    return Faces(of, marks(of, away), np.array(scores, np.float32))


def test_each_face_is_hit_once_by_the_best_find() -> None:
    seen = match_detections(
        scene(boxes((20, 0), (20, 100)), [0.9, 0.9]), found(boxes((20, 1), (20, 0), (20, 200)), [0.5, 0.8, 0.9])
    )
    assert seen.face_index.tolist() == [-1, 0, -1]


def test_recall_ap_and_landmarks_by_width() -> None:
    truth = boxes((10, 0), (10, 50), (20, 100), (40, 150))
    finds = boxes((10, 0), (20, 100), (40, 150), (10, 250))
    table = metrics_by_width([match_detections(scene(truth, [0.9] * 4), found(finds, [0.9, 0.8, 0.7, 0.95], away=1.0))] * 2)
    assert [table[k]["recall"] for k in ("8-12", "16-24", "32-64")] == [0, 0, 0]  # one false positive a picture stands above all
    table = metrics_by_width([match_detections(scene(truth, [0.9] * 4), found(finds, [0.9, 0.8, 0.7, 0.3], away=1.0))] * 2)
    assert table["8-12"]["recall"] == 50 and table["8-12"]["faces"] == 4 and table["8-12"]["ap"] == pytest.approx(50)
    assert table["16-24"]["recall"] == table["32-64"]["ap"] == 100
    assert table["16-24"]["marks"] == pytest.approx(100 / (0.43 * 20), rel=1e-3)


def test_faces_the_teacher_doubts_count_neither_way() -> None:
    seen = [match_detections(scene(boxes((20, 0), (20, 100)), [0.9, 0.3]), found(boxes((20, 0), (20, 100)), [0.8, 0.9]))]
    assert seen[0].counted.tolist() == [True, False] and score_at_fp_rate(seen) == pytest.approx(0.8)
    table = metrics_by_width(seen)
    assert table["16-24"]["faces"] == 1 and table["16-24"]["recall"] == 100 and table["16-24"]["ap"] == 100


def test_finds_are_of_sure_faces_first_and_any_number_of_unsure_ones() -> None:
    truth = scene(boxes((20, 0), (20, 4), (20, 100)), [0.3, 0.9, 0.3])
    seen = match_detections(truth, found(boxes((20, 1), (20, 101), (20, 99), (20, 2)), [0.9, 0.8, 0.7, 0.6]))
    assert seen.face_index.tolist() == [1, 2, 2, 0] and seen.counted.tolist() == [True, False, False, False]


def test_what_was_seen_by_eye_is_no_false_alarm_and_need_not_be_found() -> None:
    assert all(x1 < x2 and y1 < y2 for boxes in ignored_boxes().values() for x1, y1, x2, y2 in boxes)
    truth, finds = scene(boxes((20, 0)), [0.9]), found(boxes((20, 0), (20, 100)), [0.8, 0.9])
    assert score_at_fp_rate([match_detections(truth, finds)]) == pytest.approx(1.0)
    seen = [match_detections(add_ignored(truth, boxes((20, 100)).tolist()), finds)]
    assert score_at_fp_rate(seen) == pytest.approx(0.8) and metrics_by_width(seen)["16-24"]["faces"] == 1


def test_recall_at_some_sizes_has_a_threshold_of_its_own() -> None:
    truth = boxes((60, 100))
    pictures = views_at_scales(
        [Scene(np.zeros((240, 480, 3), np.uint8), truth, marks(truth), np.ones(1, np.float32))], cctv=False
    )
    some = SIZES["1/2 and 1/3"]
    seen = [  # a surer false alarm at every other size
        match_detections(s, found(np.vstack([s.boxes, boxes((20, 0))]), [0.5, 0.1 if s.image.shape[0] in (120, 80) else 0.9]))
        for s in pictures
    ]
    assert [s.scene.image.shape[0] for s in at_scales(seen, some)] == [120, 80]
    assert summarise(at_scales(seen, some))["by_width"]["16-24"]["recall"] == 100
    assert summarise(seen)["by_width"]["16-24"]["recall"] == 0 and summarise(seen)["least_score"] == 0.9


class UpTo:
    """Takes white squares for faces if they are not wider than this."""

    def __init__(self, most: float) -> None:
        self._most = most

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        rows, columns = np.nonzero(frames[0][..., 0] > 127)
        of = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
        return [found(of, [0.9]) if np.ptp(columns) < self._most else Faces.empty()]


def test_near_faces_are_enlarged_within_a_picture() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[60:160, 220:300] = 255  # at its edge
    photo = Scene(
        picture, np.array([[220, 60, 300, 160]], np.float32), np.zeros((1, 5, 2), np.float32), np.array([0.9], np.float32)
    )
    assert near_face_recall([photo], UpTo(1e9)) == dict.fromkeys(map(str, NEAR), 100.0)
    assert list(near_face_recall([photo], UpTo(250)).values()) == [100.0, 100.0, 100.0, 0.0, 0.0, 0.0]
