"""What a file is, by opening it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from stages.video.probe import file_duration, not_video_reason, recording_start
from stages.video.recording import Decode
from tests.clips import write_clip, write_sound


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
def test_a_video_file_of_any_name_is_a_source(tmp_path: Path, container: str) -> None:
    codec = "mpeg4" if container == "avi" else "libx264"
    clip = write_clip(tmp_path / f"clip.{container}", [k / 10 for k in range(10)], codec)
    for name in ("recording", "recording.0001", "recording.jpg", "recording.txt"):
        shutil.copy(clip, tmp_path / name)
        assert not_video_reason(tmp_path / name) == "", name


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"])
def test_a_picture_of_any_name_is_no_video_and_is_refused_as_a_source(tmp_path: Path, form: str) -> None:
    for name in ("picture", "picture.mp4", f"picture.{form.lower()}"):
        Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / name, form)
        assert not_video_reason(tmp_path / name) in ("a picture, no video", "no video"), name
        with pytest.raises(SourceError):
            Decode().start(SourceSpec("picture", str(tmp_path / name)), None)


def test_the_length_of_a_file_is_what_its_container_says(tmp_path: Path) -> None:
    assert file_duration(str(write_clip(tmp_path / "a.mp4", [k / 10 for k in range(20)]))) == pytest.approx(2.0, abs=0.2)
    (tmp_path / "rubbish.mp4").write_text("x")
    assert [file_duration(url) for url in (str(tmp_path / "rubbish.mp4"), "http://127.0.0.1:9/a", "/none", "/dev/zero")] == [
        None
    ] * 4


def test_a_moving_gif_is_a_video(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((64, 64, 3), 20 * k, np.uint8)) for k in range(5)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert not_video_reason(tmp_path / "moving.gif") == ""


def test_files_that_are_no_video_are_named_by_kind(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("nothing to see")
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    assert not_video_reason(tmp_path / "notes") == "no video"
    assert not_video_reason(tmp_path / "list.m3u8")
    assert not_video_reason(write_sound(tmp_path / "song.m4a")) == "no video in it, only audio"
    assert "cannot be read" in not_video_reason(tmp_path / "none")


def dated(path: Path, **metadata: str) -> Path:
    """A clip whose container has these entries."""
    has_plain_timestamps = write_clip(path.with_name("plain.mkv"), [k / 10 for k in range(10)])
    with av.open(str(has_plain_timestamps)) as read, av.open(str(path), "w") as written:
        written.metadata.update(metadata)
        stream = written.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(read.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return path


@pytest.mark.parametrize("container", ["mp4", "mov", "mkv"])
def test_the_time_in_a_container_is_when_the_recording_began(tmp_path: Path, container: str) -> None:
    path = dated(tmp_path / f"clip.{container}", creation_time="2026-03-04T05:06:07Z")
    with av.open(str(path)) as opened:
        at, why = recording_start(opened)
    assert at == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC).timestamp() and why == "creation_time of the file"
    reader = Decode()
    reader.start(SourceSpec("clip", str(path)), None)
    assert (reader.report().started_at, reader.report().started_from) == (at, why)
    reader.close()


@pytest.mark.parametrize("value", ["1904-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "yesterday", "2026"])
def test_an_impossible_creation_time_is_ignored(tmp_path: Path, value: str) -> None:
    opened = SimpleNamespace(metadata={"creation_time": value, "date": "2025"}, streams=SimpleNamespace(video=[]))
    assert recording_start(opened) == (None, "")
