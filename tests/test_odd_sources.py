"""Odd sources and outputs, in this process: one line, the right exit code, no hang, nothing lost."""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import cli
from models import recognizer_card
from pipeline.errors import FarsightError
from pipeline.sources.find import find_all
from stages.video import special_files
from stages.video.probe import not_video_reason
from tests.clips import write_clip
from watchlist.store import Store

Farsight = Callable[..., tuple[int, str]]


@pytest.fixture
def farsight(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Farsight:
    """Runs the command line here, and gives its exit code and all it said, on one line."""

    def run(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["farsight", *(str(a) for a in arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, error = capsys.readouterr()
        assert "Traceback" not in out + error
        return int(caught.value.code or 0), " ".join((out + error).split())

    return run


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A watchlist that takes no detector to make."""
    store = Store(tmp_path / "people.db")
    digest = recognizer_card()["sha256"]
    store.add_enrolment(store.add_identity("Ada"), "a", "1", b"", np.ones(256, np.float32) / 16, digest, 0.9, 80.0)
    store.close()
    return tmp_path / "people.db"


def odd_files(folder: Path) -> None:
    """What a disk may hold instead of videos, under the names of videos."""
    folder.mkdir()
    clip = write_clip(folder.parent / "clip.mp4", [k / 10 for k in range(5)]).read_bytes()
    names = [
        "new\nline.mp4",
        "\x1b[31mred.mp4",
        "-rf.mp4",
        "ünï çödé 视频.mp4",
        "e" * 240 + ".mp4",
        "a:b?c*d|e.mp4",
        "%s%n{}.mp4",
    ]
    for name in [*names, os.fsdecode(b"caf\xe9.mp4"), "plain"]:
        (folder / name).write_bytes(clip)
    (folder / "zero.mp4").touch()
    (folder / "rubbish.mp4").write_bytes(os.urandom(5000))
    (folder / "cut.mp4").write_bytes(clip[: len(clip) // 2])
    (folder / "dead.mp4").symlink_to("nowhere")
    (folder / "round.mp4").symlink_to("round.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(folder)  # a socket's path must be short
    listening.bind("socket.mp4")
    os.chdir(here)
    listening.close()


def test_a_disk_full_of_oddities_is_read_as_far_as_it_can_be(
    tmp_path: Path, people: Path, farsight: Farsight, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd_files(tmp_path / "disk")
    (tmp_path / "unreached").symlink_to(tmp_path / "disk" / "pipe.mp4")
    monkeypatch.setattr(special_files, "FIRST_DATA_S", 0.3)
    out = tmp_path / "out"
    named = ("--source", tmp_path / "disk", "--source", tmp_path / "unreached", "--source", "/dev/zero")
    code, said = farsight("run", *named, "--watchlist", people, "--out", out, "--engine", "inline")
    assert code == 4, said
    summary = json.loads((out / "run.json").read_text())
    status = {Path(s["url"]).name: s["status"] for s in summary["sources"]}
    ok = [name for name, how in status.items() if how == "ok"]
    assert len(ok) == 9 and {"plain", "-rf.mp4", "new\nline.mp4"} <= set(ok)
    failed = {"zero.mp4", "rubbish.mp4", "cut.mp4", "unreached", "zero"}
    assert {name for name, how in status.items() if how == "failed"} == failed
    assert all(s["reason"] for s in summary["sources"] if s["status"] != "ok")
    left_out = {Path(file["path"]).name for file in summary["left_out"]["files"]}
    assert {"dead.mp4", "round.mp4", "pipe.mp4", "socket.mp4"} <= left_out
    assert len(list((out / "annotated").iterdir())) == 9
    assert "unreached: failed: a pipe into which nobody writes" in said and "zero: failed: a device" in said


@pytest.mark.parametrize(
    "code, source",
    [
        (3, "none.mp4"),
        (3, "none\nnew line.mp4"),
        (3, os.fsdecode(b"none\xff.mp4")),
        (3, "\x1b]0;title\x07.mp4"),
        (2, "x" * 300 + ".mp4"),
        (2, "x/" * 3000),
        (2, ""),
        (3, "/dev/zero"),
        (3, "/dev/null"),
        (3, "/dev/full"),
        (3, "/proc/self/mem"),
        (3, "file:///none.mp4"),
        (3, "http://127.0.0.1:9/none.mp4"),
        (3, "rtsp://127.0.0.1:9/none"),
        (3, "nosuch://host/none"),
        (3, "http://[bad/none.mp4"),
        (3, "http://user:p@ss@127.0.0.1:9/a.mp4?token=hush"),
        (3, "-"),
        (3, "pipe:0"),
        (3, "concat:a.mp4|b.mp4"),
    ],
)
def test_a_source_that_is_none_is_one_line(tmp_path: Path, people: Path, farsight: Farsight, code: int, source: str) -> None:
    began = time.monotonic()
    arguments = ("run", f"--source={source}", "--watchlist", people, "--out", tmp_path / "out", "--engine", "inline")
    found, said = farsight(*arguments)
    assert found == code, said
    assert "farsight: " in said and "hush" not in said and "p@ss" not in said and "\x1b]" not in said
    assert time.monotonic() - began < 60


def test_random_arguments_end_in_a_plan_or_in_one_line(tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    odd_files(tmp_path / "disk")
    letters = [
        "a",
        "/",
        ".",
        "..",
        "\n",
        "é",
        "disk",
        "plain",
        "*",
        "://",
        "http",
        "?",
        "%00",
        "#",
        "@",
        " ",
        "\udcff",
        "x" * 200,
    ]
    for _ in range(300):
        name = "".join(dice.choice(letters, dice.integers(1, 7)))
        path = (
            name if "://" in name else str(tmp_path / "disk" / name.lstrip("/")) if ".." not in name else str(tmp_path / "disk")
        )
        try:
            found = find_all([path], not_video_reason).sources
        except FarsightError as error:
            assert error.exit_code in (2, 3)
            continue
        assert len({s.name for s in found}) == len(found) and all("/" not in s.name and len(s.name.encode()) < 200 for s in found)


@pytest.mark.parametrize(
    "out, said", [("file", "is a file; name a folder"), ("file/below", "name another folder"), ("/sys/none", "--out")]
)
def test_an_output_folder_that_cannot_be_is_one_line(
    tmp_path: Path, people: Path, farsight: Farsight, out: str, said: str
) -> None:
    (tmp_path / "file").write_text("mine")
    clip = write_clip(tmp_path / "a.mp4", [0.0, 0.1])
    found = farsight("run", "--source", clip, "--watchlist", people, "--out", tmp_path / out, "--engine", "inline")
    assert found[0] == 2 and said in found[1], found
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_one_line_and_a_resume_goes_on(tmp_path: Path, people: Path, farsight: Farsight) -> None:
    clip, out = write_clip(tmp_path / "a.mp4", [k / 10 for k in range(10)]), tmp_path / "out"
    run = ("run", "--source", clip, "--watchlist", people, "--out", out, "--engine", "inline", "--no-video")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, before[1]))  # no file may become larger: as a disk that is full
    try:
        code, said = farsight(*run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert code in (2, 4) and "farsight: " in said, said
    code, said = farsight(*run, "--resume")
    assert code == 0 and (out / "report.html").is_file(), said


def test_a_source_folder_that_is_read_only_is_left_as_it_is(tmp_path: Path, people: Path, farsight: Farsight) -> None:
    folder = tmp_path / "medium"
    folder.mkdir()
    write_clip(folder / "a.mp4", [k / 10 for k in range(10)])
    (folder / "a.mp4").chmod(0o444)
    folder.chmod(0o555)
    before = folder.stat().st_mtime_ns
    code, said = farsight("run", "--source", folder, "--watchlist", people, "--out", tmp_path / "out", "--engine", "inline")
    assert code == 0 and folder.stat().st_mtime_ns == before, said
    folder.chmod(0o755)


def test_a_short_recording_needs_no_ray_when_the_engine_is_left_open(tmp_path: Path, people: Path, farsight: Farsight) -> None:
    clip, out = write_clip(tmp_path / "a.mp4", [k / 10 for k in range(10)]), tmp_path / "out"
    code, said = farsight("run", "--source", clip, "--watchlist", people, "--out", out, "--engine", "auto", "--no-video")
    assert code == 0, said
    assert json.loads((out / "run.json").read_text())["choices"]["engine"] == "inline: one source of 1 s"


def test_the_program_says_its_version(farsight: Farsight) -> None:
    code, said = farsight("--version")
    assert code == 0 and said.startswith("farsight 0.")


def test_one_more_camera_on_a_resume_renames_none_and_loses_no_record(tmp_path: Path, people: Path, farsight: Farsight) -> None:
    rec, out = tmp_path / "rec", tmp_path / "out"
    (rec / "gate").mkdir(parents=True)
    write_clip(rec / "gate" / "20260304_120000.mp4", [k / 10 for k in range(10)])
    run = ("run", "--source", rec, "--watchlist", people, "--out", out, "--engine", "inline", "--time-zone", "UTC")
    code, said = farsight(*run, "--start-from-name", "%Y%m%d_%H%M%S")
    assert code == 0, said
    (rec / "arch").mkdir()
    write_clip(rec / "arch" / "20260304_120000.mp4", [k / 10 for k in range(10)])
    code, said = farsight(*run, "--resume")
    assert code == 0 and "the time of day is not known of arch-20260304_120000:" in said, said
    summary = json.loads((out / "run.json").read_text())
    assert {Path(s["url"]).parent.name: s["name"] for s in summary["sources"]} == {
        "gate": "20260304_120000",
        "arch": "arch-20260304_120000",
    }
    assert [(r["status"], len(r["sources"])) for r in summary["runs"]] == [("finished", 1), ("finished", 2)]
    starts = {s["name"]: s["choices"]["start"] for s in summary["sources"]}  # told by the first run, kept by the second
    assert starts["20260304_120000"] == "2026-03-04T12:00:00+00:00 (its name by %Y%m%d_%H%M%S)"
    code, said = farsight(*run)
    assert code == 2 and "holds an earlier run" in said
    assert len(json.loads((out / "run.json").read_text())["runs"]) == 2  # what was refused was no run
