from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import OutputError
from stages.annotate import Annotate, draw_track, interpolate_box
from stages.records import Frame
from watchlist.store import Store
from watchlist.tracks import TRACK_COLUMNS


def row(path: np.ndarray, outcome: str = "match") -> dict:
    values = dict.fromkeys(TRACK_COLUMNS)
    values |= {
        "source": "cam",
        "track": "x-0007",
        "version": 1,
        "final": 1,
        "start_s": 0.0,
        "end_s": 1.0,
        "face_px": 20.0,
        "shots": 1,
        "quality": 0.5,
    }
    return values | {
        "path": path.astype(np.float32).tobytes(),
        "outcome": outcome,
        "name": "Ada",
        "score": 0.8,
        "fpir": 0.01,
        "reasons": "[]",
    }


PATH = np.array([[0.0, 10, 10, 30, 40], [1.0, 20, 10, 40, 40]], np.float32)


@pytest.mark.parametrize(("outcome", "label"), [("match", "7 Ada 0.80"), ("no_match", "7")])
def test_every_box_has_the_number_that_the_report_gives(outcome: str, label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr("stages.annotate.cv2.putText", lambda _, text, *more: drawn.append(text))
    draw_track(np.zeros((180, 160), np.uint8), np.array([10, 40, 40, 80], np.float32), row(PATH, outcome), blur=False)
    assert drawn == [label]


def test_boxes_between_detections_are_interpolated() -> None:
    assert interpolate_box(PATH, 0.5).tolist() == [15, 10, 35, 40]
    assert interpolate_box(PATH, 2.0) is None and interpolate_box(PATH, -1.0) is None


def test_the_video_plays_in_a_browser_and_shows_the_box(tmp_path: Path) -> None:
    store = Store(tmp_path / "farsight.db")
    store.put_tracks([row(PATH)])
    stage = Annotate(tmp_path, tmp_path / "farsight.db", crf=10)
    stage.open()
    grey = np.full((96 * 3 // 2, 128), 128, np.uint8)
    for k in range(15):
        stage.process([Frame("cam", k, k / 10, grey.copy())])
    stage.flush()
    stage.close()
    with av.open(str(tmp_path / "annotated" / "cam.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec.name, stream.pix_fmt) == ("h264", "yuv420p")
        frames = [(f.time, f.to_ndarray(format="rgb24").astype(int)) for f in container.decode(stream)]
    assert [round(t, 2) for t, _ in frames] == [k / 10 for k in range(15)]
    edge = frames[5][1][20:35, 14:16].mean((0, 1))
    assert edge[1] > edge[0] + 10 and edge[1] > edge[2] + 10  # green
    assert abs(frames[14][1][20:35, 14:16].mean() - 130) < 5  # gone again


def test_a_fault_of_the_coder_is_an_output_error(tmp_path: Path) -> None:
    Store(tmp_path / "farsight.db").put_tracks([row(PATH)])
    stage = Annotate(tmp_path, tmp_path / "farsight.db", preset="superfas")
    stage.open()
    with pytest.raises(OutputError, match="cannot write the annotated video"):
        stage.process([Frame("cam", 0, 0.0, np.full((96 * 3 // 2, 128), 128, np.uint8))])
    stage.close()


def test_bystanders_are_made_unrecognisable(chips: np.ndarray) -> None:
    for outcome, hidden in (("no_match", True), ("not_assessable", True), ("match", False)):
        planes = np.full((192, 128), 128, np.uint8)
        planes[:128] = chips[0][..., 1]
        before = planes[40:110, 40:90].copy()
        draw_track(planes, np.array([30, 25, 100, 125], np.float32), row(PATH, outcome), blur=True)
        detail = (
            np.abs(np.diff(planes[40:110, 40:90].astype(int), axis=1)).mean() / np.abs(np.diff(before.astype(int), axis=1)).mean()
        )
        assert (detail < 0.7) == hidden


def test_a_recording_that_changes_its_size_is_drawn_to_its_end(tmp_path: Path) -> None:
    """With black borders, and with boxes where the faces are."""
    Store(tmp_path / "farsight.db").put_tracks([row(np.array([[0.5, 40, 60, 120, 160], [1.0, 40, 60, 120, 160]]))])
    stage = Annotate(tmp_path, tmp_path / "farsight.db", crf=10)
    stage.open()
    for k in range(10):
        height, width = (96, 128) if k < 5 else (288, 256)  # of another shape, too
        stage.process([Frame("cam", k, k / 10, np.full((height * 3 // 2, width), 128, np.uint8))])
    stage.flush()
    stage.close()
    with av.open(str(tmp_path / "annotated" / "cam.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    assert {f.shape for f in frames} == {(96, 128, 3)} and len(frames) == 10
    late = frames[8]
    assert late[:, :16].max() < 40 and late[:, -16:].max() < 40 and abs(late[80, 64].mean() - 130) < 8  # 86 columns of 128
    edge = late[25:50, 33:36].mean((0, 1))  # the box's left side: a third of 40, and 21 of border
    assert edge[1] > edge[0] + 10


def test_a_drawn_video_says_which_colours_it_has(tmp_path: Path) -> None:
    Store(tmp_path / "farsight.db").put_tracks([row(PATH)])
    stage = Annotate(tmp_path, tmp_path / "farsight.db")
    stage.open()
    stage.process([Frame("cam", 0, 0.0, np.full((720 * 3 // 2, 1280), 128, np.uint8))])
    stage.flush()
    stage.close()
    with av.open(str(tmp_path / "annotated" / "cam.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (int(frame.colorspace), int(frame.color_range)) == (1, 1)
