"""Bad input: a clear line, the right exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models import recognizer_card
from pipeline.folder_lock import locked_folder
from tests.clips import write_clip, write_sound
from tests.running import ROOT, farsight, refused
from watchlist.store import Store

pytestmark = pytest.mark.xdist_group("cluster")  # one after the other: a test looks for what others have left


def test_nothing_that_can_be_read(tmp_path: Path, people: Path) -> None:
    shared = ("--watchlist", people, "--engine", "inline", "--no-video")
    (tmp_path / "empty").mkdir()
    refused(3, "no video in this folder", "run", "--source", tmp_path / "empty", "--out", tmp_path / "o1", *shared)
    refused(3, "no such file", "run", "--source", tmp_path / "none.mp4", "--out", tmp_path / "o2", *shared)
    refused(
        3, "no video in it, only audio", "run", "--source", write_sound(tmp_path / "a.m4a"), "--out", tmp_path / "o3", *shared
    )


def test_bad_sources_do_not_stop_good_ones(tmp_path: Path, people: Path) -> None:
    good = write_clip(tmp_path / "good.mp4", [k / 10 for k in range(20)])
    whole = write_clip(tmp_path / "whole.mkv", [k / 10 for k in range(40)]).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 7 // 10])
    (tmp_path / "bad.mp4").write_bytes(b"rubbish" * 100)
    (tmp_path / "empty").mkdir()
    odd = os.fsdecode(b"caf\xe9.mp4")  # of a disk on which names were no UTF-8
    shutil.copy(good, tmp_path / odd)
    sources = [x for name in ("bad.mp4", "cut.mkv", "empty", odd, "good.mp4") for x in ("--source", tmp_path / name)]
    refused(
        4, "bad: failed: cannot be read", "run", *sources, "--watchlist", people, "--out", tmp_path / "out", "--engine", "inline"
    )
    found = {s["name"]: s["status"] for s in json.loads((tmp_path / "out" / "run.json").read_text())["sources"]}
    assert found == {"bad": "failed", "cut": "incomplete", "empty": "failed", "caf": "ok", "good": "ok"}
    out = ("--watchlist", people, "--out", tmp_path / "out", "--engine", "inline", "--resume")
    again = farsight("run", *sources, *out)
    assert again.returncode == 4 and "cut: incomplete" in again.stdout  # what was lost stays lost
    (tmp_path / "other").mkdir()
    refused(2, "good was", "run", "--source", write_clip(tmp_path / "other" / "good.mp4", [0.0, 0.1]), *out)
    assert (
        good.exists() and (tmp_path / "out" / "report.html").exists() and (tmp_path / "out" / "annotated" / "good.mp4").exists()
    )


def test_bad_settings_and_watchlists(tmp_path: Path, people: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", [0.0, 0.1])
    run = ("run", "--source", clip, "--engine", "inline", "--no-video")
    settings = tmp_path / "s.yaml"
    settings.write_text("base: " + str(ROOT / "configs" / "recording.yaml") + "\ncolour: red\n")
    refused(2, "unknown key 'colour'", *run, "--watchlist", people, "--out", tmp_path / "o", "--config", settings)
    refused(2, "no such file or folder", *run, "--watchlist", tmp_path / "none", "--out", tmp_path / "o")
    (tmp_path / "people" / "Ada").mkdir(parents=True)
    (tmp_path / "people" / "Ada" / "a.jpg").write_text("no photo")
    refused(2, "no usable photo (1 refused", *run, "--watchlist", tmp_path / "people", "--out", tmp_path / "o")
    settings.write_text("base: " + str(ROOT / "configs" / "recording.yaml") + "\nshared: {detector: none.onnx}\n")
    known = Store(tmp_path / "known.db")
    digest = recognizer_card()["sha256"]
    known.add_enrolment(known.add_identity("Ada"), "a", "1", b"", np.ones(256, np.float32) / 16, digest, 0.9, 80.0)
    known.close()
    refused(2, "none.onnx", *run, "--watchlist", known.path, "--out", tmp_path / "o2", "--config", settings)
    other = Store(tmp_path / "other.db")
    other.add_enrolment(other.add_identity("Ada"), "a", "1", b"", np.ones(256, np.float32), "0" * 64, 0.9, 80.0)
    other.close()
    refused(2, "another recogniser", *run, "--watchlist", tmp_path / "other.db", "--out", tmp_path / "o3")
    refused(2, "fpir = 7.0", *run, "--watchlist", people, "--out", tmp_path / "o4", "--fpir", "7")


def test_an_earlier_run_is_not_overwritten(corridor: Path, inline: Path, people: Path) -> None:
    refused(
        2,
        "holds an earlier run",
        "run",
        "--source",
        corridor / "corridor.mp4",
        "--watchlist",
        people,
        "--out",
        inline,
        "--engine",
        "inline",
    )


def test_two_runs_never_write_into_one_folder_and_readers_do_not_wait(tmp_path: Path, corridor: Path, people: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(people.parent, out)
    clip = corridor / "corridor.mp4"
    live = tmp_path / "live.yaml"
    live.write_text(f"cameras: [{{name: gate, url: {clip}}}]\nwatchlist: {people}\nout: {out}\n")
    with locked_folder(out, "run"):
        run = ("run", "--source", clip, "--watchlist", people, "--out", out, "--engine", "inline")
        refused(2, f"`run` (process {os.getpid()} since", *run)
        refused(2, f"`run` (process {os.getpid()} since", *run, "--resume")
        refused(2, f"`run` (process {os.getpid()} since", "live", "--config", live, "--duration", 1)
        found = farsight("search", "--identity", 1, "--db", out, "--json")
        assert found.returncode == 0 and json.loads(found.stdout)


def test_a_picture_or_a_folder_of_pictures_is_no_recording(tmp_path: Path, people: Path) -> None:
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "face.jpg")
    shared = ("--watchlist", people, "--engine", "inline", "--no-video")
    refused(3, "a picture, no video", "run", "--source", tmp_path / "face.jpg", "--out", tmp_path / "o1", *shared)
    refused(
        3,
        "no video in this folder (face.jpg: a picture, no video)",
        "run",
        "--source",
        tmp_path,
        "--out",
        tmp_path / "o2",
        *shared,
    )


def test_what_is_left_out_is_on_the_console_in_run_json_and_in_the_report(tmp_path: Path, people: Path) -> None:
    rec, out = tmp_path / "rec", tmp_path / "out"
    rec.mkdir()
    shutil.copy(write_clip(tmp_path / "a.mp4", [k / 10 for k in range(10)]), rec / "recording")
    (rec / "notes.txt").write_text("nothing")
    (rec / "._recording").write_text("a Mac was here")
    photos = tmp_path / "people"
    (photos / "Ada").mkdir(parents=True)
    (photos / "Ada" / "a.jpg").write_text("no photo")
    (photos / "Zoe").mkdir()
    chip = Store(people).enrolments()[0].chip
    (photos / "Zoe" / "z.png").write_bytes(chip)
    done = farsight("run", "--source", rec, "--watchlist", photos, "--out", out, "--engine", "inline", "--no-video")
    assert done.returncode == 0, done.stderr + done.stdout
    said = " ".join(done.stdout.split())
    assert (
        "left out: notes.txt: no video" in said
        and "left out: 1 hidden files" in said
        and "Ada is not looked for: no usable photo" in said
    )
    summary, report = json.loads((out / "run.json").read_text()), (out / "report.html").read_text()
    assert summary["left_out"] == {
        "files": [{"path": str(rec / "notes.txt"), "reason": "no video"}],
        "counted": {"hidden files": 1},
    }
    assert summary["watchlist"]["enrolled"] == 1 and summary["watchlist"]["not_looked_for"] == ["Ada"]
    assert summary["sources"][0]["url"] == str(rec / "recording")
    assert all(
        text in report for text in (str(rec / "notes.txt"), str(rec / "recording"), "1 hidden files", "(no usable photo): Ada")
    )
