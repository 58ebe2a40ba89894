"""Things that never move are told apart from people, and nobody who sits still is lost by it."""

import numpy as np
import pytest

from pipeline.checkpoint_format import pack, unpack
from stages.records import DetectedFrame, Frame
from stages.select import Select
from stages.track import Track
from stages.tracking.stillness import never_moved
from stages.video.camera_motion import CameraMotion
from tests.stages.test_track_and_select import frame

RNG = np.random.default_rng(3)
SCENE = np.kron(RNG.integers(40, 220, (60, 80, 3)), np.ones((8, 8, 1))).astype(np.uint8)  # 480 x 640, for frames of 240 x 320


def film(score: float, step: float = 0.0, pan: float = 0.0, seconds: float = 5.0, turned: float = 0.0) -> list[DetectedFrame]:
    """A face of 40 px that moves by ``step`` and a camera that pans by ``pan`` pixels a frame, five frames a second.

    ``turned`` moves the nose by so many eye distances, as of a face in profile.
    """
    frames = []
    for k in range(round(seconds * 5)):
        item = frame(k / 5, [(100 + (step - pan) * k + RNG.normal(0, 0.5), 120 + RNG.normal(0, 0.5))], score=score)
        item.faces.landmarks[:, 2, 0] += turned * 17
        left = round(pan * k)
        image = np.ascontiguousarray(SCENE[100:340, 60 + left : 380 + left])
        frames.append(DetectedFrame(Frame("cam", k, k / 5, image), item.faces))
    return frames


def static(frames: list[DetectedFrame], **keywords: object) -> list[bool]:
    track, select = Track(), Select(**keywords)
    track.open(), select.open()
    out = [t for f in frames for t in select.process(track.process([f]))]
    return [t.static for t in [*out, *select.flush()] if t.final]


@pytest.mark.parametrize("pan", [0.0, 3.0])
def test_a_picture_on_the_wall_is_static_even_where_the_camera_pans(pan: float) -> None:
    assert static(film(0.7, pan=pan)) == [True]
    assert static(film(0.95, pan=pan, turned=1.2)) == [True]  # sure, but never from the front


def test_who_sits_still_and_once_looked_at_the_camera_is_no_thing() -> None:
    frames = film(0.7)
    frames[12].faces.scores[:] = 0.9
    assert static(frames) == [False]


def test_who_walks_is_no_thing_even_where_the_camera_follows() -> None:
    assert static(film(0.7, step=4.0)) == [False]
    assert static(film(0.7, step=3.0, pan=3.0)) == [False]  # stays in the same place of the frame


def test_a_short_track_had_no_time_to_move() -> None:
    assert static(film(0.7, seconds=2.0)) == [False]
    assert static(film(0.7, seconds=2.0), static_s=1.0) == [True]
    assert static(film(0.7), static_s=None) == [False]


@pytest.mark.parametrize("cut", [3, 13])
def test_a_checkpoint_remembers_what_was_seen_of_a_track(cut: int) -> None:
    for frames in (film(0.7, pan=3.0), film(0.7, step=3.0, pan=3.0)):
        track, select = Track(), Select()
        track.open(), select.open()
        select.process(track.process(frames[:cut]))
        held = unpack(pack({"track": track.state(), "select": select.state()}))
        again, then = Track(), Select()
        again.open(), then.open()
        again.restore(held["track"]), then.restore(held["select"])
        then.process(again.process(frames[cut:]))
        assert [t.static for t in then.flush()] == static(frames)


def test_who_comes_nearer_has_moved() -> None:
    grows = [(k / 5, 100 - k, 100 - k, 140 + k, 140 + k) for k in range(20)]
    assert not never_moved(grows, [(0.0, 0.0)] * 20, 3.0)
    stays = [(k / 5, 100, 100, 140, 140) for k in range(20)]
    assert never_moved(stays, [(0.0, 0.0)] * 20, 3.0)
    stays[7] = (7 / 5, 130, 100, 180, 150)  # one wrong box
    assert never_moved(stays, [(0.0, 0.0)] * 20, 3.0)


def test_where_the_camera_is_lost_nothing_is_called_static() -> None:
    stays = [(k / 5, 100, 100, 140, 140) for k in range(20)]
    assert not never_moved(stays, [None] * 11 + [(0.0, 0.0)] * 9, 1.0)


def test_the_shift_of_a_pan_is_measured_and_a_still_camera_has_none() -> None:
    camera = CameraMotion()
    noisy = [np.clip(SCENE[100:340, 60:380] + RNG.normal(0, 6, (240, 320, 3)), 0, 255).astype(np.uint8) for _ in range(4)]
    assert [camera(image) for image in noisy] == [(0.0, 0.0)] * 4
    for left in range(64, 125, 4):
        found = camera(np.ascontiguousarray(SCENE[100:340, left : left + 320]))
    assert found is not None and found[0] == pytest.approx(-64, abs=6) and found[1] == pytest.approx(0, abs=3)


def test_an_unrelated_scene_is_unclear_and_then_counts_as_moved() -> None:
    camera, other = CameraMotion(), np.random.default_rng(8)
    camera(SCENE[:240, :320].copy())
    scenes = [np.kron(other.integers(0, 255, (30, 40, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(12)]
    found = [camera(scene) for scene in scenes]
    assert None in found and not any(offset == (0.0, 0.0) for offset in found)
    grey = CameraMotion()
    assert grey(np.full((240, 320, 3), 90, np.uint8)) == grey(np.full((240, 320, 3), 90, np.uint8)) == (0.0, 0.0)
