"""One contract for the clock, over every kind of container and for cameras: frame k has the time at which a player shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.protocol import SourceReport
from stages.video import camera_reader
from stages.video.camera_reader import FrameBuffer
from tests.clips import read_frames
from tests.films import copied, later, number_of, stamped, write_film

B = {"bf": "3", "b_strategy": "0", "g": "12"}
# suffix, codec, and what else is special
KINDS: dict[str, dict[str, Any]] = {
    "mp4": {},
    "mp4 with B-frames": {"suffix": "mp4", "options": B},
    "mp4 in fragments": {"suffix": "mp4", "muxer": {"movflags": "frag_keyframe+empty_moov"}, "options": B},
    "mp4 hevc": {"suffix": "mp4", "codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12"}},
    "mov": {"codec": "prores", "pixels": "yuv422p10le"},
    "mkv": {"options": B},
    "mkv ffv1": {"suffix": "mkv", "codec": "ffv1"},
    "webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "webm vp8": {"suffix": "webm", "codec": "libvpx", "options": {"deadline": "realtime"}},
    "avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "avi mjpeg": {"suffix": "avi", "codec": "mjpeg", "pixels": "yuvj420p"},
    "flv": {"options": B},
    "ts": {"options": B},
    "m2ts": {"codec": "mpeg2video", "rate": 25, "options": {"bf": "2"}},
    "mpg": {"codec": "mpeg2video", "rate": 25, "options": {"bf": "2"}},
    "vob": {"codec": "mpeg2video", "rate": 25, "options": {"bf": "2"}},
    "h264": {"options": B},
    "hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12"}},
    "m2v": {"codec": "mpeg2video", "rate": 30},
    "m4v": {"codec": "mpeg4", "form": "m4v"},
    "mjpeg": {"codec": "mjpeg", "rate": 25, "pixels": "yuvj420p"},
    "ivf": {"codec": "libvpx"},
    "asf": {"codec": "wmv2"},
    "3gp": {"codec": "mpeg4"},
    "mxf": {"codec": "mpeg2video", "rate": 25},
    "nut": {"options": B},
    "ogv": {"codec": "libvpx"},
    "gif": {"codec": "gif", "pixels": "rgb8"},
}


def film(folder: Path, kind: str, **more: Any) -> Path:
    keywords = {**KINDS[kind], **more}
    return write_film(folder / f"film.{keywords.pop('suffix', kind)}", **keywords)


def read(path: Path, after: float | None = None, **keywords: Any) -> tuple[dict[int, float], SourceReport]:
    """The time of each frame, by the number it carries."""
    frames, report = read_frames(path, after, detect_every=1, **keywords)
    times = {number_of(frame.image): frame.pts_s for frame in frames}
    assert list(times.values()) == sorted(set(times.values()))
    return times, report


def right(times: dict[int, float], rate: float = 10, start: float = 0.0) -> bool:
    return times == pytest.approx({k: start + k / rate for k in range(40)}, abs=0.0055)


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_has_its_time_in_every_container(tmp_path: Path, kind: str) -> None:
    path = film(tmp_path, kind)
    times, report = read(path)
    assert right(times, KINDS[kind].get("rate", 10))
    assert (report.status, report.reason) == ("ok", "")
    rest, _ = read(path, times[21])
    assert rest == {k: t for k, t in times.items() if k > 21}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_a_cameras_place_plays_by_the_same_clock(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    shown: dict[int, float] = {}
    monkeypatch.setattr(camera_reader.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(camera_reader.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))

    class Seen(FrameBuffer):
        def put(self, item: Any) -> None:
            shown[number_of(item[0].to_ndarray(format="rgb24"))] = now[0] - 100.0

    camera_reader.decode(Seen(), str(film(tmp_path, kind)), "tcp", 1)
    assert right(shown, KINDS[kind].get("rate", 10))


@pytest.fixture(scope="module")
def ts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("clock") / "film.ts", options={"bf": "0"})


@pytest.fixture(scope="module")
def mkv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("clock") / "film.mkv", options=B)


@pytest.mark.parametrize("off_s", [3600, 86400, -3600, 0.75, -0.75])
@pytest.mark.parametrize("at", [[25], [0], [39], [12, 13], [5, 20, 30]])
def test_a_wrong_stamp_costs_its_own_frame_and_moves_no_other(ts: Path, tmp_path: Path, off_s: float, at: list[int]) -> None:
    if at == [0] and off_s == -0.75:
        pytest.skip("a first frame up to a minute early is believed: it may be followed by a pause")
    wrong = stamped(ts, tmp_path / "wrong.ts", off_s, at)
    times, report = read(wrong)
    apart = {k: t for k, t in times.items() if abs(t - k / 10) > 0.0055}
    assert len(times) == 40 and set(apart) <= {*at}
    assert report.counts.get("times_mended", 0) == len(at) and report.status == "ok"
    assert "times mended" in report.choices["clock"]
    if 39 not in at:
        assert not apart
    rest, _ = read(wrong, times[21])
    assert rest == {k: t for k, t in times.items() if k > 21}


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_joined_files_go_on_where_the_first_ends(tmp_path: Path, suffix: str) -> None:
    parts = [write_film(tmp_path / f"{k}.{suffix}", count=20, begin=20 * k) for k in (0, 1)]
    joined = tmp_path / f"joined.{suffix}"
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    times, report = read(joined)
    assert right(times) and (report.status, report.reason) == ("ok", "")
    assert report.counts["jumps_bridged"] == 1 and "jumps bridged: 1" in report.choices["clock"]
    rest, _ = read(joined, times[25])
    assert rest == {k: t for k, t in times.items() if k > 25}


def test_a_pause_is_kept_and_counted(mkv: Path, tmp_path: Path) -> None:
    paused = copied(mkv, tmp_path / "paused.mkv", lambda k, p: later(100)(k, p) if k >= 24 else p)
    times, report = read(paused)
    assert times[39] == pytest.approx(103.9, abs=0.01) and times[20] == pytest.approx(2.0, abs=0.01)
    assert report.counts["gaps_in_time"] == 1 and "longest gap: 100" in report.choices["clock"]


@pytest.mark.parametrize(("sound_s", "video_s", "first_s"), [(0.0, 1.5, 1.5), (1.0, 0.0, 0.0), (0.5, 2.0, 1.5)])
@pytest.mark.parametrize("suffix", ["mkv", "ts", "mp4"])
def test_a_video_that_begins_after_its_sound_has_the_players_times(
    tmp_path: Path, suffix: str, sound_s: float, video_s: float, first_s: float
) -> None:
    times, report = read(write_film(tmp_path / f"a.{suffix}", sound_from_s=sound_s, video_from_s=video_s))
    start = times[0]
    assert start == pytest.approx(first_s, abs=0.15) and right(times, start=start)  # sound has a lead-in of its own
    assert report.status == "ok"


def test_stamps_in_the_order_of_decoding_do_not_drift(mkv: Path, tmp_path: Path) -> None:
    def forget(number: int, packet: Any) -> Any:
        packet.pts = packet.dts = round(number / 10 / packet.time_base)
        return packet

    times, _ = read(copied(mkv, tmp_path / "a.mkv", forget))
    assert len(times) == 40 and all(abs(t - k / 10) < 0.45 for k, t in times.items())
    assert times[39] == pytest.approx(3.9, abs=0.11)


def test_missing_stamps_are_filled_in_from_their_neighbours(ts: Path, tmp_path: Path) -> None:
    wrong = stamped(ts, tmp_path / "wrong.ts", None, [k for k in range(40) if k % 4])
    times, report = read(wrong)
    assert right(times) and report.status == "ok"


@pytest.mark.parametrize("seconds", [10, 3600])
def test_a_time_lapse_keeps_its_times(tmp_path: Path, seconds: int) -> None:
    def slow(number: int, packet: Any) -> Any:
        packet.pts, packet.dts, packet.duration = number * seconds * 1000, number * seconds * 1000, seconds * 1000
        return packet

    fast = write_film(tmp_path / "fast.mkv", options={"bf": "0"})
    times, report = read(copied(fast, tmp_path / "slow.mkv", slow))
    assert right(times, 1 / seconds) and report.status == "ok" and not report.counts.get("gaps_in_time")


def test_a_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    def uneven(number: int, packet: Any) -> Any:
        packet.pts = packet.dts = 40 * number + (700 if number % 7 > 3 else 0) + 1500 * (number // 7)
        return packet

    fast = write_film(tmp_path / "fast.mkv", options={"bf": "0"})
    times, report = read(copied(fast, tmp_path / "uneven.mkv", uneven))
    expected = {k: (40 * k + (700 if k % 7 > 3 else 0) + 1500 * (k // 7)) / 1000 for k in range(40)}
    assert times == pytest.approx(expected, abs=0.002) and report.status == "ok"


def test_a_raw_stream_runs_at_the_rate_its_codec_tells(tmp_path: Path) -> None:
    _, report = read(write_film(tmp_path / "a.h264"))
    assert report.choices["clock"] == "the file has no times: 10 frames/s by its codec" and report.position_s == 3.9
    _, report = read(write_film(tmp_path / "a.mjpeg", codec="mjpeg", pixels="yuvj420p", rate=25))
    assert "25 frames/s assumed" in report.choices["clock"]
