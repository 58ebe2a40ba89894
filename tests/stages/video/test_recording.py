import itertools
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import SourceError
from stages.video.pixels import orient_planes
from tests.clips import read_frames, write_clip, write_sound

EVEN = [k / 10 for k in range(40)]


def test_every_frame_with_its_time(tmp_path: Path) -> None:
    frames, report = read_frames(write_clip(tmp_path / "a.mp4", EVEN), detect_every=1)
    assert [round(f.pts_s, 3) for f in frames] == EVEN
    assert frames[0].image.shape == (48, 64, 3) and frames[0].image.dtype == np.uint8
    assert (report.status, report.reason, report.position_s) == ("ok", "", 3.9)


def test_every_third_frame(tmp_path: Path) -> None:
    frames, _ = read_frames(write_clip(tmp_path / "a.mp4", EVEN), detect_every=3)
    assert [round(10 * f.pts_s) for f in frames] == list(range(0, 40, 3))


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("after", [0.0, 1.1, 2.9])
def test_resuming_gives_the_frames_an_unbroken_run_would(tmp_path: Path, every: int, after: float) -> None:
    clip = write_clip(tmp_path / "a.mp4", EVEN)
    whole, _ = read_frames(clip, detect_every=every)
    rest, _ = read_frames(clip, after, detect_every=every)
    later = [f for f in whole if f.pts_s > after]
    assert [f.pts_s for f in rest] == [f.pts_s for f in later]
    assert all((a.image == b.image).all() for a, b in zip(rest, later, strict=True))


@pytest.mark.parametrize("suffix", ["ts", "mpg", "mkv", "avi", "flv", "h264"])
def test_resuming_is_exact_in_every_container(tmp_path: Path, suffix: str) -> None:
    """MPEG streams have no index: FFmpeg enters them between keyframes and frames would be lost."""
    codec = {"mpg": "mpeg2video", "avi": "mpeg4"}.get(suffix, "libx264")
    clip = write_clip(tmp_path / f"a.{suffix}", EVEN, codec=codec, keyframes=25, rate=25 if suffix == "mpg" else 10)
    whole, _ = read_frames(clip, detect_every=1)
    rest, report = read_frames(clip, whole[29].pts_s, detect_every=1)
    assert [f.pts_s for f in rest] == [f.pts_s for f in whole[30:]]
    assert all((a.image == b.image).all() for a, b in zip(rest, whole[30:], strict=True))
    assert report.position_s == whole[-1].pts_s


def test_variable_rate_keeps_its_own_times(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.1, 0.9, 1.0, 2.5, 2.6]
    frames, _ = read_frames(write_clip(tmp_path / "a.mkv", times), detect_every=1)
    assert [round(f.pts_s, 2) for f in frames] == times


def test_missing_pts_are_filled_in_and_grow(tmp_path: Path) -> None:
    # A raw H.264 stream carries no times at all.
    frames, report = read_frames(write_clip(tmp_path / "a.h264", EVEN), detect_every=1)
    times = [f.pts_s for f in frames]
    assert len(times) == 40 and all(b > a for a, b in itertools.pairwise(times))
    rest, _ = read_frames(tmp_path / "a.h264", times[20], detect_every=1)
    assert len(rest) == 19 and report.status == "ok"


def test_a_cut_file_gives_what_can_be_read_and_says_what_is_lost(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "a.mkv", EVEN)
    cut = tmp_path / "cut.mkv"
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    frames, report = read_frames(cut, detect_every=1)
    assert 0 < len(frames) < 40
    assert report.status == "incomplete" and re.search(r"of 4\.0 s", report.reason)


@pytest.mark.parametrize("frames", [10, 40])
def test_a_whole_time_lapse_is_complete(tmp_path: Path, frames: int) -> None:
    found, report = read_frames(write_clip(tmp_path / "a.mp4", [float(k) for k in range(frames)], rate=1), detect_every=1)
    assert (len(found), report.status, report.reason) == (frames, "ok", "")


def test_rubbish_in_the_middle_is_survived_and_counted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", EVEN * 1)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    middle = len(content) // 2
    content[middle : middle + 1500] = rng.integers(0, 256, 1500, np.uint8).tobytes()
    path.write_bytes(content)
    frames, _ = read_frames(path, detect_every=1)
    assert len(frames) > 20


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.with_name("none.mp4"), "No such file"),  # missing
        (lambda p: write_sound(p), "no video in it, only audio"),  # sound only
        (lambda p: (p.write_bytes(b"") and p) or p, "cannot be read"),  # empty
        (lambda p: (p.write_bytes(b"not a video" * 99) and p) or p, "cannot be read"),  # something else
    ],
)
def test_files_that_cannot_be_opened(tmp_path: Path, make, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_frames(make(tmp_path / "a.mp4"))


def test_a_file_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(SourceError, match="cannot be read: End of file"):
        read_frames(path)


def test_a_huge_frame_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.video.container.MAX_PIXELS", 1000)
    with pytest.raises(SourceError, match="64x48 is above the limit"):
        read_frames(write_clip(tmp_path / "a.mp4", EVEN[:3]))


def test_planes_are_turned_like_pictures() -> None:
    planes = np.arange(6 * 4, dtype=np.uint8).reshape(6, 4)  # a 4x4 picture: 4 rows of luma, then 2x2 + 2x2 chroma
    turned = orient_planes(planes, (True, True, False))
    assert (turned[:4] == np.rot90(planes[:4])).all()
    assert (orient_planes(turned, (True, False, True)) == planes).all()


@pytest.mark.parametrize(
    ("pixel", "shape"), [((1, 2), (96, 64)), ((4, 3), (48, 85)), ((101, 100), (48, 64)), ((99, 1), (48, 64))]
)
@pytest.mark.parametrize("picture", ["rgb24", "yuv420p"])
def test_pixels_that_are_not_square_are_made_so(
    tmp_path: Path, picture: str, pixel: tuple[int, int], shape: tuple[int, int]
) -> None:
    frames, _ = read_frames(write_clip(tmp_path / "a.mp4", EVEN[:5], pixel=Fraction(*pixel)), detect_every=1, picture=picture)
    height, width = shape
    assert frames[-1].image.shape == ((height, width, 3) if picture == "rgb24" else (height * 3 // 2, width // 2 * 2))
    level = frames[-1].image[: height // 2, : width // 4 - 3]
    assert abs(int(level.mean()) - int(level[0, 0].mean())) <= 2  # the bright left quarter is still that


def test_rotation_metadata_is_obeyed(tmp_path: Path) -> None:
    """A phone's upright video is stored lying on its side with a note in the header."""
    path = write_clip(tmp_path / "a.mp4", EVEN[:5])
    content = path.read_bytes()
    straight = b"".join(n.to_bytes(4, "big") for n in (0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000))
    quarter = b"".join((n & 0xFFFFFFFF).to_bytes(4, "big") for n in (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000))
    place = content.rindex(straight)  # the last matrix is the track's, the first the movie's
    path.write_bytes(content[:place] + quarter + content[place + len(quarter) :])
    frames, _ = read_frames(path, detect_every=1)
    picture = frames[1].image
    assert picture.shape == (64, 48, 3)
    assert picture[2:8].mean() > picture[-8:].mean() + 5  # what was left is now on top: turned clockwise, as a player shows it


def test_importing_the_stages_loads_no_network_library() -> None:
    """The command line must start fast; torch is imported when a network is."""
    code = (
        "import sys, pathlib, cli.settings as s; "
        "s.load_settings(pathlib.Path('configs/recording.yaml')); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0
