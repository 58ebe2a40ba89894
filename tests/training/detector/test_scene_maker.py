import numpy as np
import pytest

from models.faces import Faces
from training.data.scenes import Scene
from training.detector import scene_maker as detector_scenes
from training.detector.scene_maker import HARD_SHARE, SURE, SceneMaker, _overlay


def scene(side: int, *boxes: tuple[float, ...], scores: tuple[float, ...] = (), grey: int = 0) -> Scene:
    of = np.array(boxes, np.float32).reshape(-1, 4)
    marks = np.repeat(of.reshape(-1, 2, 2).mean(1)[:, None], 5, 1)
    return Scene(np.full((side, side, 3), grey, np.uint8), of, marks, np.array(scores or [0.9] * len(of), np.float32))


@pytest.mark.parametrize(("left", "is_left"), [(50, "sure"), (38, "sure"), (30, "unsure"), (20, "gone")])
def test_a_face_mostly_hidden_is_ignored_and_one_all_hidden_is_gone(left: int, is_left: str) -> None:
    both = _overlay(scene(100, (20, 20, 50, 60)), scene(50, (5, 5, 15, 15)), left, 15)
    assert both.boxes[-1].tolist() == [left + 5, 20, left + 15, 30]
    assert [s >= SURE for s in both.scores[:-1]] == {"sure": [True], "unsure": [False], "gone": []}[is_left]


def test_hard_faces_are_shown_more_often_than_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_scenes, "NEAR", 0)
    easy = [scene(200, (80, 80, 120, 130), grey=10) for _ in range(19)]
    hard = scene(200, (80, 80, 120, 130), (150, 20, 190, 70), scores=(0.6, 0.9), grey=200)
    maker = SceneMaker([*easy, hard], [], np.zeros((1, 128, 128, 3), np.uint8), np.arange(1), 160)
    rng = np.random.default_rng(0)
    drawn = [maker._one_photo(rng) for _ in range(400)]
    of_hard = [s for s in drawn if s.image.mean() > 100]
    assert len(of_hard) / len(drawn) == pytest.approx(HARD_SHARE + (1 - HARD_SHARE) / 20, abs=0.08)
    assert np.mean([(s.scores == np.float32(0.6)).any() for s in of_hard]) > 0.8


def test_a_pasted_chip_has_the_face_it_was_told_to_have() -> None:
    boxes = np.array([[0, 0, 0, 0], [30, 20, 90, 110], [60, 20, 120, 110]], np.float32)
    middles = np.repeat(boxes.reshape(-1, 2, 2).mean(1)[:, None], 5, 1)
    told = Faces(boxes, middles, np.array([0, 0.6, 0.9], np.float32))
    maker = SceneMaker([], [], np.full((3, 128, 128, 3), 200, np.uint8), np.arange(3), 320, chip_labels=told)
    assert maker.rows.tolist() == [1, 2] and maker.hard_rows.tolist() == [1]  # in the first its teacher saw none
    rng = np.random.default_rng(0)
    pasted = [maker._paste_chips(scene(320), rng) for _ in range(20)]
    found, marks = np.concatenate([s.boxes for s in pasted]), np.concatenate([s.landmarks for s in pasted])
    assert len(found) > 20
    sides = found[:, 2:] - found[:, :2]
    assert np.allclose(sides[:, 0] / sides[:, 1], 60 / 90, atol=1e-3)
    assert np.allclose(marks, found.reshape(-1, 2, 2).mean(1)[:, None], atol=1e-3)


def test_some_pictures_show_only_small_things_and_no_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_scenes, "FACE_FREE", 1.0)
    thing = scene(600, grey=120)
    maker = SceneMaker([scene(200, (80, 80, 120, 130))], [thing], np.zeros((1, 128, 128, 3), np.uint8), np.arange(1), 320)
    for seed in range(6):
        made = maker.make(np.random.default_rng(seed))
        assert made.image.shape == (320, 320, 3) and not len(made.scores)
    views = [maker._view(thing, s, np.random.default_rng(0)).image.shape[0] for s in detector_scenes.FACE_FREE_SCALES]
    assert views == [90, 320]


def test_without_face_free_pictures_every_picture_is_of_people() -> None:
    maker = SceneMaker([], [scene(400, (80, 80, 120, 130))], np.zeros((1, 128, 128, 3), np.uint8), np.arange(1), 320)
    assert maker.face_free == []
