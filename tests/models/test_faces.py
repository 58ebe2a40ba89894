import numpy as np
import pytest

from models.faces import Faces, pairwise_iou


def faces(*boxes: tuple[float, ...], scores: tuple[float, ...]) -> Faces:
    return Faces(np.array(boxes, np.float32), np.zeros((len(boxes), 5, 2), np.float32), np.array(scores, np.float32))


def test_iou_by_hand() -> None:
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    assert np.allclose(pairwise_iou(a, b), [[1, 1 / 3, 0, 0]])


def test_nms_keeps_the_better_of_two_boxes_on_one_face() -> None:
    kept = faces((0, 0, 10, 10), (1, 0, 11, 10), (40, 0, 50, 10), scores=(0.6, 0.9, 0.5)).with_nms()
    assert kept.scores.tolist() == [np.float32(0.9), np.float32(0.5)]


def test_empty_faces_stay_empty() -> None:
    assert len(Faces.merge([]).with_nms()) == 0
    assert len(Faces.empty().scaled(2.0, 1, 1)) == 0


def test_a_face_found_at_two_sizes_is_kept_once() -> None:
    boxes = [[10, 10, 50, 60], [5, 15, 70, 80], [20, 20, 40, 45], [25, 30, 35, 42], [44, 10, 84, 60]]
    found = faces(*boxes, scores=[0.9, 0.8, 0.7, 0.6, 0.5]).without_nested()
    assert found.scores.tolist() == pytest.approx([0.9, 0.6, 0.5])  # a far smaller one and a neighbour stay
