"""Pictures as players show them: turned and mirrored, in the right colours, from whatever the file holds."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from stages.video import camera_reader
from stages.video.camera_reader import FrameBuffer
from stages.video.pixels import orientation_of, to_pixels
from tests.clips import read_frames
from tests.films import numbered, write_film

ONE = 65536
# The display matrix's a b c d, and the picture as it is shown, from one as it is stored.
ORIENTATIONS = {
    "as it is": ((1, 0, 0, 1), lambda p: p),
    "left and right swapped": ((-1, 0, 0, 1), np.fliplr),
    "top and bottom swapped": ((1, 0, 0, -1), np.flipud),
    "upside down": ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
    "clockwise": ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
    "mirrored on the diagonal": ((0, 1, 1, 0), lambda p: p.swapaxes(0, 1)),
    "mirrored on the other diagonal": ((0, -1, -1, 0), lambda p: np.rot90(p, 2).swapaxes(0, 1)),
}
COLOUR = (200, 60, 40)


def grey(planes: np.ndarray) -> np.ndarray:
    return planes[: len(planes) * 2 // 3]


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_recording_and_its_drawn_video_are_shown_as_a_player_shows_them(tmp_path: Path, name: str) -> None:
    (a, b, c, d), shown = ORIENTATIONS[name]
    clip = write_film(tmp_path / "a.mp4", count=3, begin=37, matrix=[a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30])
    frames, report = read_frames(clip, detect_every=1)
    expected = shown(numbered(37)).astype(int)
    assert report.status == "ok" and frames[0].image.shape == expected.shape
    assert np.abs(frames[0].image - expected).mean() < 6
    drawn, _ = read_frames(clip, detect_every=1, picture="yuv420p")
    luma = (grey(drawn[0].image).astype(int) - 16) * 255 / 219
    assert luma.shape == expected.shape[:2] and np.abs(luma - expected[..., 0]).mean() < 6


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_camera_is_shown_as_a_player_shows_it(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_reader.time, "sleep", lambda s: None)
    (a, b, c, d), shown = ORIENTATIONS[name]
    clip = write_film(tmp_path / "a.mp4", count=3, begin=37, matrix=[a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30])
    newest = FrameBuffer()
    camera_reader.decode(newest, str(clip), "tcp", 1)
    taken = newest.take()
    assert taken is not None
    assert np.abs(to_pixels(taken[0][0]).astype(int) - shown(numbered(37))).mean() < 6


def test_a_matrix_of_no_right_angle_is_taken_for_the_nearest() -> None:
    frame = av.VideoFrame(16, 16, "yuv420p")
    assert orientation_of(frame) == (False, False, False)


def coloured(form: str, space: int, full: bool) -> av.VideoFrame:
    rgb = np.full((64, 64, 3), COLOUR, np.uint8)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=form, dst_colorspace=space, dst_color_range=2 if full else 1
    )


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("space", [1, 5, 7, 9])
@pytest.mark.parametrize(
    "form", "yuv420p yuvj420p yuv422p yuv444p nv12 uyvy422 yuv411p yuva420p yuv420p10le yuv444p12le p010le gbrp".split()
)
def test_colours_are_right_from_every_pixel_format(form: str, space: int, full: bool) -> None:
    frame = coloured(form, space, full)
    assert np.abs(to_pixels(frame)[32, 32].astype(int) - COLOUR).max() < 6
    planes = to_pixels(frame, "yuv420p")
    again = av.VideoFrame.from_ndarray(planes, format="yuv420p").reformat(format="rgb24").to_ndarray()
    assert np.abs(again[32, 32].astype(int) - COLOUR).max() < 8


@pytest.mark.parametrize("number", [0, 2, 3, 8, 10, 13, 17, 200])
def test_an_odd_colour_space_is_no_reason_to_fail(number: int) -> None:
    frame = coloured("yuv420p", 5, False)
    frame.colorspace = number
    assert np.abs(to_pixels(frame)[32, 32].astype(int) - COLOUR).max() < 40
    frame.color_range = 3
    assert to_pixels(frame, "yuv420p").shape == (96, 64)


@pytest.mark.parametrize(("lines", "space"), [(480, 5), (720, 1), (1080, 1)])
def test_an_untagged_video_has_the_colours_of_its_size(lines: int, space: int) -> None:
    rgb = np.full((lines, 64, 3), COLOUR, np.uint8)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p", dst_colorspace=space, dst_color_range=1)
    frame.colorspace = 2
    assert np.abs(to_pixels(frame)[32, 32].astype(int) - COLOUR).max() < 6
