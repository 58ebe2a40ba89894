"""What another detector adds to the teacher's labels."""

import numpy as np

from models.faces import Faces
from training.data.scenes import Scene
from training.data.second_opinion import detect_at_scales, merge_second
from training.detector.scene_maker import SURE, UNSURE


def faces(*told: tuple[float, float]) -> Faces:
    """Faces of 20 pixels by where they begin and their scores."""
    boxes = np.array([[x, x, x + 20, x + 20] for x, _ in told], np.float32).reshape(-1, 4)
    return Faces(boxes, np.repeat(boxes[:, None, :2], 5, 1), np.array([score for _, score in told], np.float32))


def scene(of: Faces) -> Scene:
    return Scene(np.zeros((300, 300, 3), np.uint8), of.boxes, of.landmarks, of.scores)


def test_what_both_find_likely_is_sure_and_what_one_sees_is_not() -> None:
    teacher = scene(faces((0, 0.9), (50, 0.4), (100, 0.4), (150, 0.4)))
    new = merge_second(teacher, faces((1, 0.9), (51, 0.8), (101, 0.7), (200, 0.7), (250, 0.55)))
    assert np.allclose(new.scores, [0.9, SURE, 0.4, 0.4, UNSURE])
    assert new.boxes[-1].tolist() == [200, 200, 220, 220] and new.landmarks.shape == (5, 5, 2)
    assert np.array_equal(new.boxes[:4], teacher.boxes) and np.allclose(teacher.scores, [0.9, 0.4, 0.4, 0.4])


def test_a_photo_in_which_one_detector_finds_nothing_keeps_the_others_as_doubtful() -> None:
    assert np.allclose(merge_second(scene(faces((0, 0.4))), faces()).scores, [0.4])
    assert np.allclose(merge_second(scene(faces()), faces((0, 0.9))).scores, [UNSURE])


class Witness:
    """Finds a face at any size, and a small one only in the doubled picture."""

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        factor = frames[0].shape[1] / 300
        return [(faces((30, 0.8), (200, 0.6)) if factor == 2 else faces((30, 0.7))).scaled(factor)]


def test_a_picture_is_searched_at_two_sizes_and_each_face_labelled_once() -> None:
    found = detect_at_scales(Witness(), np.zeros((300, 300, 3), np.uint8))
    assert np.allclose(found.boxes, faces((30, 0.8), (200, 0.6)).boxes) and np.allclose(found.scores, [0.8, 0.6])
