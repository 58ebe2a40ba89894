import numpy as np

from models.faces import Faces
from pipeline.checkpoint_format import pack, unpack
from stages.detect import Detect
from stages.records import Frame
from stages.video.motion import MotionGate

RNG = np.random.default_rng(0)
ROOM = RNG.integers(60, 120, (45, 80, 3), np.uint8).repeat(8, 0).repeat(8, 1)  # 360 by 640


def frame(pts_s: float, *squares: tuple[int, int], noise: float = 0.0) -> Frame:
    """The room with white squares of 24 pixels."""
    image = ROOM.astype(np.float32) + RNG.normal(0, noise, ROOM.shape)
    for x, y in squares:
        image[y : y + 24, x : x + 24] = 250
    return Frame("a", 0, pts_s, image.clip(0, 255).astype(np.uint8))


class Squares:
    """Finds the white squares, and counts the pixels it was shown."""

    def __init__(self) -> None:
        self.pixels = 0

    def detect(self, frames: list[np.ndarray]) -> list[Faces]:
        return [self._one(image) for image in frames]

    def _one(self, image: np.ndarray) -> Faces:
        self.pixels += image.shape[0] * image.shape[1]
        boxes = []
        white = (image > 240).all(2)
        while white.any():
            y, x = np.argwhere(white)[0]
            boxes.append((x, y, x + 24, y + 24))
            white[y : y + 24, x : x + 24] = False
        array = np.array(boxes, np.float32).reshape(-1, 4)
        return Faces(array, np.zeros((len(array), 5, 2), np.float32), np.full(len(array), 0.9, np.float32))


def stage(full_every_s: float | None = 5.0) -> tuple[Detect, Squares]:
    made = Detect(full_every_s=full_every_s)
    made._detector = squares = Squares()  # type: ignore[assignment]
    return made, squares


def places(made: Detect, seen: Frame) -> list[tuple[float, float]]:
    (found,) = made.process([seen])
    return sorted((float(b[0]), float(b[1])) for b in found.faces.boxes)


def test_sensor_noise_is_not_motion_and_the_whole_frame_is_searched_in_turn() -> None:
    gate = MotionGate(2.0)
    assert gate.region(frame(0.0, noise=7)) == (0, 0, 640, 360)
    assert [gate.region(frame(t, noise=7)) for t in (0.5, 1.0, 1.9)] == [None] * 3
    assert gate.region(frame(2.0, noise=7)) == (0, 0, 640, 360)
    assert gate.region(frame(0.1)) == (0, 0, 640, 360)  # time went back: another recording


def test_only_moving_areas_are_searched_and_faces_in_still_areas_stay_known() -> None:
    made, squares = stage()
    assert places(made, frame(0.0, (100, 100), (500, 200))) == [(100, 100), (500, 200)]
    whole = squares.pixels
    assert places(made, frame(0.2, (110, 104), (500, 200))) == [(110, 104), (500, 200)]  # one walks, one stands
    assert squares.pixels - whole < 0.3 * whole
    before = squares.pixels
    assert places(made, frame(0.4, (110, 104), (500, 200))) == [(110, 104), (500, 200)]  # nobody moves
    assert squares.pixels == before
    assert places(made, frame(0.6, (500, 200))) == [(500, 200)]  # one has gone
    assert made.counters() == {"frames in which nothing moved": 1, "frames searched in part": 2}


def test_a_slow_walker_is_not_lost() -> None:
    made, _ = stage(full_every_s=1e9)
    for step in range(60):
        found = places(made, frame(step / 5, (100 + step, 100)))
        assert len(found) == 1 and abs(found[0][0] - 100 - step) <= 2


def test_the_motion_gate_is_reset_after_a_source_and_restored_from_a_checkpoint() -> None:
    made, _ = stage()
    places(made, frame(0.0, (100, 100)))
    made.flush()
    assert places(made, frame(0.2)) == []
    places(made, frame(0.4, (100, 100)))
    other, theirs = stage()
    other.restore(unpack(pack(made.state())))  # a checkpoint may hold it
    assert places(other, frame(0.6, (100, 100))) == [(100, 100)]
    assert theirs.pixels == 0  # nothing moved since the checkpoint
    plain, _ = stage(None)
    other.restore(plain.state())  # one made without a gate
    assert places(other, frame(0.8, (100, 100))) == [(100, 100)] and theirs.pixels == 640 * 360


def test_a_face_cut_by_the_edge_of_a_moving_area_keeps_its_earlier_box() -> None:
    made, _ = stage()
    places(made, frame(0.0, (100, 100), (212, 100)))  # the second stands across an edge of the region the first will move in
    region = MotionGate(5.0)
    region.region(frame(0.0, (100, 100)))
    assert region.region(frame(0.2, (110, 100)))[2] == 224
    assert places(made, frame(0.2, (110, 100), (212, 100))) == [(110, 100), (212, 100)]


def test_two_cameras_in_one_stage_do_not_mix() -> None:
    made, _ = stage()
    assert places(made, frame(0.0, (100, 100))) == [(100, 100)]
    assert places(made, Frame("b", 0, 0.1, ROOM)) == []
    assert places(made, frame(0.2, (100, 100))) == [(100, 100)]


def test_without_motion_detection_every_frame_is_searched() -> None:
    made, squares = stage(None)
    for t in range(3):
        places(made, frame(t))
    assert squares.pixels == 3 * 640 * 360 and made.counters() == {}
