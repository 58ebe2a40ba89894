"""Pipes and devices as sources: no hang."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from stages.video import special_files
from stages.video.recording import Decode
from tests.clips import write_clip


def read(path: str) -> int:
    reader = Decode()
    reader.start(SourceSpec("source", path), None)
    count = 0
    while reader.read() is not None:
        count += 1
    reader.close()
    return count


def test_a_recording_comes_through_a_pipe(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", [k / 10 for k in range(20)])
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        time.sleep(0.3)
        pipe.write_bytes(clip.read_bytes())

    threading.Thread(target=write, daemon=True).start()
    assert read(str(pipe)) == 20


def test_a_pipe_into_which_nobody_writes_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(special_files, "FIRST_DATA_S", 0.3)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="a pipe into which nobody writes"):
        read(str(tmp_path / "pipe"))


def test_a_writer_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(special_files, "NEXT_DATA_S", 0.3)
    clip = write_clip(tmp_path / "clip.mkv", [k / 10 for k in range(20)]).read_bytes()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = threading.Event()

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            file.write(clip[:300])
            done.wait(20)

    threading.Thread(target=write, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(SourceError, match="nobody went on writing"):
        read(str(pipe))
    assert time.monotonic() - began < 10
    done.set()


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty", "/dev/urandom"])
def test_a_device_is_no_recording(device: str) -> None:
    with pytest.raises(SourceError, match="a device, no recording"):
        read(device)


def test_a_socket_is_no_recording(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        with pytest.raises(SourceError, match="a socket, no recording"):
            read(str(tmp_path / "s"))
