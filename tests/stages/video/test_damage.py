"""What of a recording is lost is told and counted, and damaged frames teach no template."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.protocol import SourceReport, SourceSpec
from stages.records import Frame
from stages.video import camera_reader
from stages.video.camera_reader import FrameBuffer
from stages.video.recording import Decode
from stages.video.video_tracks import split_video_tracks
from tests.clips import read_frames
from tests.films import SIZE, number_of, numbered, write_film


def noisy(path: Path, count: int = 40, size: tuple[int, int] = (320, 180)) -> Path:
    """A clip with something in every packet to damage: a textured picture that moves. A key frame each second."""
    noise = np.random.default_rng(0)
    ground = cv2.GaussianBlur(noise.integers(0, 256, (2 * size[1], 2 * size[0], 3), np.uint8), (0, 0), 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "20", "crf": "20", "bf": "0", "preset": "ultrafast"})
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for k in range(count):
            part = np.ascontiguousarray(ground[2 * k : 2 * k + size[1], 3 * k : 3 * k + size[0]])
            frame = av.VideoFrame.from_ndarray(part, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def flipped(path: Path, to: Path, bits: int, seed: int = 1) -> Path:
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(seed)
    for at in rng.integers(len(content) // 10, len(content) * 7 // 10, bits):
        content[at] ^= 1 << int(rng.integers(8))
    to.write_bytes(content)
    return to


def test_frames_that_bit_errors_smear_are_counted_and_marked(tmp_path: Path) -> None:
    whole = noisy(tmp_path / "a.mp4")
    frames, report = read_frames(flipped(whole, tmp_path / "b.mp4", 60), detect_every=1)
    damaged = [f for f in frames if f.damaged]
    counts = report.counts
    assert report.status == "incomplete" and "frames are corrupt" in report.reason
    assert counts["corrupt_frames"] + counts.get("smeared_frames", 0) == len(damaged) > 3
    clean, _ = read_frames(whole, detect_every=1)
    known = {f.pts_s: f.image.astype(int) for f in clean}
    apart = {f.pts_s: np.abs(f.image - known[f.pts_s]).mean() for f in frames}
    assert all(apart[f.pts_s] < 3 for f in frames if not f.damaged)  # what is smeared is marked
    assert not any(f.damaged for f in clean)


def test_a_third_cut_out_of_a_ts_is_reported_as_missing(tmp_path: Path) -> None:
    content = noisy(tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(content[: len(content) // 3] + content[len(content) * 2 // 3 :])
    frames, report = read_frames(tmp_path / "b.ts", detect_every=1)
    assert report.status == "incomplete" and "s are missing at 1." in report.reason
    assert report.counts["gaps_in_time"] == 1
    times = [f.pts_s for f in frames]
    after = next(k for k, (a, b) in enumerate(itertools.pairwise(times)) if b - a > 0.5) + 1
    assert frames[after].damaged and times[-1] == pytest.approx(3.9, abs=0.01)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "avi"])
def test_a_third_cut_out_of_a_file_with_an_index_is_reported_as_missing(tmp_path: Path, suffix: str) -> None:
    path = write_film(tmp_path / f"a.{suffix}", codec="mpeg4" if suffix == "avi" else "libx264")
    content = path.read_bytes()
    cut = tmp_path / f"b.{suffix}"
    cut.write_bytes(content[: len(content) // 3] + content[len(content) * 2 // 3 :])
    try:
        _, report = read_frames(cut, detect_every=1)
    except SourceError:
        return
    assert report.status != "ok"


def test_a_good_splice_is_ok(tmp_path: Path) -> None:
    parts = [noisy(tmp_path / f"{k}.ts", 20).read_bytes() for k in range(2)]
    (tmp_path / "joined.ts").write_bytes(b"".join(parts))
    frames, report = read_frames(tmp_path / "joined.ts", detect_every=1)
    assert (report.status, report.reason, len(frames)) == ("ok", "", 40) and not any(f.damaged for f in frames)


def test_a_camera_marks_damaged_frames_and_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_reader.time, "sleep", lambda s: None)
    marked = []

    class Seen(FrameBuffer):
        def put(self, item: Any) -> None:
            marked.append(item[1])

    newest = Seen()
    camera_reader.decode(newest, str(flipped(noisy(tmp_path / "a.mp4"), tmp_path / "b.mp4", 60)), "tcp", 1)
    assert newest.counts()["corrupt"] > 3 and sum(marked) >= newest.corrupt


def grown(path: Path, large: tuple[int, int]) -> Path:
    """An MJPEG whose frames grow in mid-stream and shrink again."""
    small, big = (cv2.imencode(".jpg", np.full((h, w, 3), 90, np.uint8))[1].tobytes() for w, h in ((64, 48), large))
    path.write_bytes(small * 10 + big * 2 + small * 10)
    return path


def test_frames_that_grow_beyond_the_limit_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    """A picture of 16000x16000 in a file of 4 MB would take 770 MB; in a process of its own, so that its memory can be told."""
    import subprocess
    import sys

    clip = grown(tmp_path / "a.mjpeg", (16000, 16000))
    code = (
        "import sys; from pathlib import Path; from tests.clips import read_frames; "
        "f, r = read_frames(Path(sys.argv[1]), detect_every=1); print(len(f), r.status, r.counts['frames_too_large'], r.reason, "
        "Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0], sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(clip)], capture_output=True, text=True, timeout=60)
    count, status, refused, reason, kilobytes = done.stdout.strip().split("|")
    assert (int(count), status, int(refused)) == (20, "incomplete", 2) and "above the limit" in reason
    assert int(kilobytes) < 500_000  # most of it Python's and its libraries'


def test_a_camera_whose_frames_exceed_the_limit_for_a_while_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_reader.time, "sleep", lambda s: None)
    monkeypatch.setattr("stages.video.container.MAX_PIXELS", 20_000)
    newest = FrameBuffer()
    camera_reader.decode(newest, str(grown(tmp_path / "a.mjpeg", (320, 240))), "tcp", 1)
    assert (newest.decoded, newest.counts()["too_large"]) == (20, 2) and "above the limit" in newest.error


def test_a_recording_may_change_its_size(tmp_path: Path) -> None:
    frames, report = read_frames(grown(tmp_path / "a.mjpeg", (128, 96)), detect_every=1)
    assert report.status == "ok" and [f.image.shape[1] for f in frames] == [64] * 10 + [128] * 2 + [64] * 10
    assert [f.pts_s for f in frames] == pytest.approx([k / 25 for k in range(22)])


def combed(path: Path, flagged: bool) -> Path:
    """A bright bar that moves, each frame woven of two fields."""
    options = {"flags": "+ilme+ildct"} if flagged else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25, options={**options, "qmin": "1", "qmax": "2"})
        (stream.width, stream.height), stream.pix_fmt = (320, 240), "yuv420p"
        if flagged:
            stream.codec_context.options = {**options, "top": "1"}
        for k in range(20):
            picture = np.full((240, 320, 3), 40, np.uint8)
            for field in (0, 1):
                at = 40 + 12 * k + 6 * field
                picture[field::2, at : at + 40] = 200
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = k, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def combs(image: np.ndarray) -> float:
    """How much neighbouring rows differ."""
    return float(np.abs(np.diff(image[..., 0].astype(int), axis=0)).mean())


@pytest.mark.parametrize(
    ("mode", "flagged", "clean"),
    [("auto", True, True), ("on", False, True), ("on", True, True), ("off", True, False), ("auto", False, False)]
    + [(False, True, False), (True, False, True)],  # YAML's off and on
)
def test_interlaced_video_is_deinterlaced_where_frames_say_so(
    tmp_path: Path, mode: Any, flagged: bool, clean: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = combed(tmp_path / "a.ts", flagged)
    frames, report = read_frames(clip, detect_every=1, deinterlace=mode)
    assert len(frames) == 20 and [f.pts_s for f in frames] == pytest.approx([k / 25 for k in range(20)], abs=1e-3)
    assert (combs(frames[8].image) < 2) == clean
    assert ("deinterlace" in report.choices) == clean
    monkeypatch.setattr(camera_reader.time, "sleep", lambda s: None)
    shown = []

    class Seen(FrameBuffer):
        def put(self, item: Any) -> None:
            shown.append(item[0].to_ndarray(format="rgb24"))

    camera_reader.decode(Seen(), str(clip), "tcp", 1, deinterlace=mode)
    assert len(shown) == 20 and (combs(shown[8]) < 2) == clean


@pytest.mark.parametrize("value", ["sometimes", 3, None])
def test_a_wrong_switch_is_named(value: object) -> None:
    with pytest.raises(ValueError, match="must be auto, off or on"):
        Decode(deinterlace=value)  # type: ignore[arg-type]


def two_tracks(path: Path, picture: bool = False) -> Path:
    """An empty rear view and a front with numbers; or the front with a cover picture."""
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", rate=10) for _ in range(1 if picture else 2)]
        for stream in streams:
            (stream.width, stream.height), stream.pix_fmt = SIZE, "yuv420p"
        if picture:
            cover = cv2.imencode(".png", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
            container.add_attachment("cover.png", "image/png", cover)
        for k in range(20):
            for stream, image in zip(streams[::-1], (numbered(k), np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)), strict=False):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = k, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


def read_spec(spec: SourceSpec) -> tuple[list[Frame], SourceReport]:
    decode = Decode(detect_every=1)
    decode.start(spec, None)
    frames = [frame for batch in iter(decode.read, None) for frame in batch]
    decode.close()
    return frames, decode.report()


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_each_video_track_is_a_source_of_its_own(tmp_path: Path, suffix: str) -> None:
    path = two_tracks(tmp_path / f"cam.{suffix}")
    (tmp_path / "bad.mp4").write_text("none")
    specs = split_video_tracks(
        [SourceSpec("cam", str(path)), SourceSpec("bad", str(tmp_path / "bad.mp4")), SourceSpec("x", "http://x/y")]
    )
    assert [s.name for s in specs] == ["cam-track1", "cam-track2", "bad", "x"]
    rear, front = (read_spec(spec) for spec in specs[:2])
    assert [number_of(f.image) for f in rear[0]] == [0] * 20 and [number_of(f.image) for f in front[0]] == [*range(20)]
    assert {f.source for f in front[0]} == {"cam-track2"} and front[1].choices["track"] == "video track 2 of 2"
    assert split_video_tracks(specs) == specs


def test_a_picture_that_is_attached_is_no_video_and_is_named(tmp_path: Path) -> None:
    path = two_tracks(tmp_path / "cam.mkv", picture=True)
    specs = split_video_tracks([SourceSpec("cam", str(path))])
    assert [s.name for s in specs] == ["cam"]
    frames, report = read_spec(specs[0])
    assert len(frames) == 20 and report.status == "ok" and "attached" in report.choices["not read"]


def test_a_live_written_matroska_says_that_its_end_may_be_missing(tmp_path: Path) -> None:
    path = write_film(tmp_path / "a.mkv", muxer={"live": "1"})
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    frames, report = read_frames(path, detect_every=1)
    assert 0 < len(frames) < 40 and report.status == "ok"
    assert report.choices["length"] == "not told by the file: if it is still being recorded, read the rest with --resume"
