"""What is read of a camera; which pictures wait for a busy machine, and which are dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest

from stages.video import camera_reader
from stages.video.camera_reader import MAX_BUFFERED, OVERRUN_S, FrameBuffer, FrameSampler, decode
from stages.video.container import open_video
from tests.clips import write_clip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(camera_reader.time, "monotonic", lambda: now[0])
    return now


def take_all(newest: FrameBuffer) -> list[int]:
    newest.error = "the end"
    taken = []
    while (one := newest.take()) is not None:
        taken.append(one[0])
    return taken


def test_a_short_pause_loses_nothing(clock: list[float]) -> None:
    newest = FrameBuffer()
    for index in range(MAX_BUFFERED):
        newest.put(index)
    assert take_all(newest) == list(range(MAX_BUFFERED)) and newest.dropped == 0


def test_a_machine_that_does_not_keep_up_gets_only_the_newest_frames(clock: list[float]) -> None:
    newest = FrameBuffer()
    for index in range(100):
        newest.put(index)
    assert take_all(newest) == [99] and newest.dropped == 99


def test_the_buffer_is_used_again_after_a_time_without_drops(clock: list[float]) -> None:
    newest = FrameBuffer()
    for index in range(MAX_BUFFERED + 1):
        newest.put(index)
    clock[0] += OVERRUN_S
    newest.put(MAX_BUFFERED + 1)
    assert take_all(newest) == [MAX_BUFFERED, MAX_BUFFERED + 1] and newest.dropped == MAX_BUFFERED


@pytest.mark.parametrize(("every", "taken"), [("auto", 90), (3, 84), (1, 250)])
def test_a_camera_whose_frames_come_in_bursts_is_searched_often_enough(every: Any, taken: int) -> None:
    sampler = FrameSampler(every, 9.0)
    assert sum(sampler.accepts(100 + (k // 2 * 2) / 25) for k in range(250)) == pytest.approx(taken, abs=2)  # 10 s of 25 a second


@pytest.mark.parametrize("rate", [2, 5])
def test_every_frame_of_a_slow_camera_is_searched(rate: int) -> None:
    sampler = FrameSampler("auto", 9.0)
    assert all(sampler.accepts(100 + k / rate) for k in range(50))


def copied(path: Path, change: Callable[[int, Any], Any]) -> Path:
    """The same stream with packets as ``change`` makes them of their number and themselves."""
    changed = path.with_stem("changed")
    with av.open(str(path)) as old, av.open(str(changed), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(video=0) if p.size):
            packet = change(number, packet)
            packet.stream = stream
            new.mux(packet)
    return changed


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(camera_reader.time, "sleep", found.append)
    return found


def test_a_damaged_packet_does_not_end_the_stream(tmp_path: Path, slept: list[float]) -> None:
    def damage(number: int, packet: Any) -> Any:
        if number != 15:
            return packet
        stump = av.Packet(bytes(packet)[:6])
        stump.pts, stump.dts, stump.time_base = packet.pts, packet.dts, packet.time_base
        return stump

    newest = FrameBuffer()
    clip = write_clip(tmp_path / "a.mkv", [k / 10 for k in range(40)])
    decode(newest, str(copied(clip, damage)), "tcp", 1)
    assert (newest.decoded, newest.error) == (39, "the stream ended")


def test_a_file_whose_times_begin_late_plays_at_once(tmp_path: Path, slept: list[float]) -> None:
    def late(number: int, packet: Any) -> Any:
        packet.pts, packet.dts = (round(time + 3600 / packet.time_base) for time in (packet.pts, packet.dts))
        return packet

    newest = FrameBuffer()
    decode(newest, str(copied(write_clip(tmp_path / "a.ts", [k / 10 for k in range(20)]), late)), "tcp", 1)
    assert newest.decoded == 20 and 1.0 < max(slept) < 2.5


def test_a_frame_is_given_when_it_comes_and_not_as_many_frames_later_as_there_are_threads(
    tmp_path: Path, slept: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, behind = FrameBuffer(), []

    class Spy:
        def __init__(self, container: Any) -> None:
            self._container, self.format, self.streams = container, container.format, container.streams

        def demux(self, stream: Any) -> Any:
            for number, packet in enumerate(self._container.demux(stream)):
                behind.append(number - newest.decoded)
                yield packet

    def opened(*arguments: Any, **keywords: Any) -> Any:
        container, stream = open_video(*arguments, **keywords)
        stream.codec_context.thread_count = 8
        return Spy(container), stream

    clip = tmp_path / "a.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"tune": "zerolatency"})
        (stream.width, stream.height), stream.pix_fmt = (64, 48), "yuv420p"
        frames = [*(av.VideoFrame(64, 48, "yuv420p") for _ in range(20)), None]
        container.mux([packet for frame in frames for packet in stream.encode(frame)])
    monkeypatch.setattr(camera_reader, "open_video", opened)
    decode(newest, str(clip), "tcp", 1)
    assert newest.decoded == 20 and max(behind) <= 1
