"""Recordings of which only the parts are decoded in which something happens."""

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.protocol import SourceReport
from stages.records import Frame
from stages.video.recording import Decode
from tests.clips import read_frames

RATE, SECONDS = 10, 50
VISIT = (30.0, 34.0)  # somebody crosses the picture
Draw = Callable[[np.ndarray, float], None]


def nothing(picture: np.ndarray, at: float) -> None:
    return


def visit(picture: np.ndarray, at: float) -> None:
    if VISIT[0] <= at < VISIT[1]:
        x = 8 + int((at - VISIT[0]) * 20)
        picture[30:70, x : x + 16] = 230


def clock_overlay(picture: np.ndarray, at: float) -> None:
    picture[:8, 100:108], picture[:8, 92:100] = 25 * (int(at) % 10), 25 * (int(at) // 10 % 10)
    visit(picture, at)


def write(path: Path, draw: Draw = visit, codec: str = "libx264", times: list[float] | None = None, **options: str) -> Path:
    """A noisy quiet scene of 50 s with a key frame each second, and what ``draw`` draws."""
    rng = np.random.default_rng(3)
    scene = blocks(rng)
    with av.open(str(path), "w") as container:
        keys = {"g": str(RATE), "keyint_min": str(RATE), "sc_threshold": "0"} if codec != "mjpeg" else {}
        stream = container.add_stream(codec, rate=RATE, options=keys | {"preset": "ultrafast"} | options)
        stream.width, stream.height = 128, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if times is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, at in enumerate(times or [k / RATE for k in range(RATE * SECONDS)]):
            picture = scene.copy()
            draw(picture, at)
            noisy = np.clip(picture + rng.normal(0, 2.0, picture.shape), 0, 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(noisy, format="rgb24")
            frame.pts, frame.time_base = (number, Fraction(1, RATE)) if times is None else (round(at * 1000), Fraction(1, 1000))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def blocks(rng: np.random.Generator) -> np.ndarray:
    coarse = rng.uniform(40, 200, (12, 16, 3))
    return np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)


def read(path: Path, after: float | None = None, **keywords: object) -> tuple[list[Frame], SourceReport]:
    return read_frames(path, after, **({"detect_every": 1} | keywords))


def same(some: list[Frame], others: list[Frame]) -> bool:
    return [f.pts_s for f in some] == [f.pts_s for f in others] and all(
        (a.image == b.image).all() for a, b in zip(some, others, strict=True)
    )


def assert_visit_is_read_as_without_skipping(path: Path, least_skipped_s: float, **keywords: object) -> SourceReport:
    whole, everything = read(path)
    frames, report = read(path, **keywords)
    searched = {f.pts_s for f in frames}
    assert same(frames, [f for f in whole if f.pts_s in searched])
    assert {f.pts_s for f in whole if VISIT[0] - 0.9 <= f.pts_s < VISIT[1] + 0.9} <= searched
    assert report.counts["seconds_skipped"] >= least_skipped_s
    assert report.counts["frames_decoded"] + report.counts["frames_skipped"] == len(whole) == everything.counts["frames_decoded"]
    assert (report.status, report.reason, report.choices["clock"]) == ("ok", "", everything.choices["clock"])
    return report


@pytest.mark.parametrize("mode", ["safe", "fast"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
def test_a_visitor_in_a_quiet_recording_is_read_and_the_quiet_is_skipped(tmp_path: Path, suffix: str, mode: str) -> None:
    report = assert_visit_is_read_as_without_skipping(write(tmp_path / f"a.{suffix}"), 20, activity=mode)
    assert report.position_s == pytest.approx(SECONDS - 0.1, abs=0.01)


@pytest.mark.parametrize(
    "options",
    [
        {"preset": "veryfast", "bf": "3", "x264-params": "open-gop=1"},  # frames before a key frame refer to the group before it
        {"preset": "veryfast", "bf": "2", "b-pyramid": "normal"},
        {"b": "200k", "maxrate": "200k", "bufsize": "200k"},  # packets as large where nothing happens
    ],
    ids=["open groups", "B-frames", "constant bit rate"],
)
def test_kinds_of_streams(tmp_path: Path, options: dict[str, str]) -> None:
    assert_visit_is_read_as_without_skipping(write(tmp_path / "a.mp4", **options), 20, activity="safe")


@pytest.mark.parametrize(("codec", "suffix"), [("mjpeg", "avi"), ("mpeg2video", "ts"), ("mpeg4", "mp4")])
def test_other_codecs(tmp_path: Path, codec: str, suffix: str) -> None:
    """A codec without frames that depend on others has groups of a second each."""
    assert_visit_is_read_as_without_skipping(write(tmp_path / f"a.{suffix}", codec=codec), 10, activity="safe")


def test_a_clock_in_the_picture_is_no_activity(tmp_path: Path) -> None:
    report = assert_visit_is_read_as_without_skipping(write(tmp_path / "a.mp4", clock_overlay), 10, activity="safe")
    assert "clock" in report.choices["activity"]


def test_variable_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.05, 0.15, RATE * SECONDS)).round(3).tolist()
    assert_visit_is_read_as_without_skipping(write(tmp_path / "a.mkv", times=times), 10, activity="safe")


@pytest.mark.parametrize("after", [3.04, 20.0, 29.5, 31.3, 40.0])
@pytest.mark.parametrize("mode", ["safe", "fast"])
def test_resuming_reads_the_frames_an_unbroken_run_would(clip: Path, after: float, mode: str) -> None:
    whole, _ = read(clip, activity=mode, full_search_s=15)
    rest, report = read(clip, after, activity=mode, full_search_s=15)
    assert same(rest, [f for f in whole if f.pts_s > after])
    assert report.status == "ok"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("clip") / "a.mp4")


@pytest.mark.parametrize("every", [1, 3, "auto"])
def test_searched_frames_are_those_of_a_full_run(clip: Path, every: object) -> None:
    whole, _ = read(clip, detect_every=every)
    frames, _ = read(clip, detect_every=every, activity="safe")
    assert {f.pts_s for f in frames} < {f.pts_s for f in whole}


def test_a_quiet_recording_is_searched_at_the_set_interval(tmp_path: Path) -> None:
    frames, report = read(write(tmp_path / "a.mp4", nothing), activity="safe", full_search_s=20)
    assert "set interval" in report.choices["activity"]
    for start in (20.0, 40.0):
        assert [f.pts_s for f in frames if start <= f.pts_s < start + 1] == [start + k / 10 for k in range(10)]


def test_a_recording_with_one_key_frame_gains_nothing_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", g="9999", keyint_min="9999")
    frames, report = read(path, activity="safe")
    assert len(frames) == RATE * SECONDS
    assert "everything was decoded" in report.choices["activity"] and "too long" in report.choices["activity"]


def test_key_frames_that_are_no_whole_pictures_are_not_relied_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", preset="veryfast", **{"x264-params": "intra-refresh=1"})
    whole, _ = read(path)
    frames, _ = read(path, activity="safe")
    assert same(frames, whole)


@pytest.mark.parametrize("suffix", ["h264", "avi"])
def test_a_file_without_plain_times_is_decoded_whole(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", bf="2", preset="veryfast")
    whole, _ = read(path)
    frames, report = read(path, activity="safe")
    assert same(frames, whole)
    assert "no plain time stamps" in report.choices["activity"]


def test_damage_is_decoded_and_reported(tmp_path: Path) -> None:
    content = bytearray(write(tmp_path / "a.ts", nothing).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(0).integers(0, 256, 3000, np.uint8).tobytes()
    (tmp_path / "b.ts").write_bytes(content)
    frames, report = read(tmp_path / "b.ts", activity="safe")
    assert report.counts["frames_skipped"] > 0 and len(frames) > 100


def test_a_cut_file_says_what_is_lost(tmp_path: Path) -> None:
    content = write(tmp_path / "a.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(content[: len(content) * 7 // 10])
    _, report = read(tmp_path / "b.mkv", activity="safe")
    assert report.status == "incomplete" and "of 50.0 s" in report.reason
    assert report.counts["seconds_skipped"] > 5


def test_the_first_frame_after_a_skipped_part_says_so(clip: Path) -> None:
    frames, _ = read(clip, activity="safe")
    gaps = [b.after_skip for a, b in itertools.pairwise(frames) if b.pts_s - a.pts_s > 0.5]
    assert gaps and all(gaps)
    assert sum(f.after_skip for f in frames) == len(gaps)


@pytest.mark.parametrize("wrong", ["slow", True, 3, None])
def test_a_wrong_value_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="must be off, safe or fast"):
        Decode(activity=wrong)
    assert Decode(activity=False)  # YAML's bare off
