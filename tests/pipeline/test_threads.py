"""Threads of the numeric libraries sleep while they wait, whatever is called: on a busy machine spinning takes half its speed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.clips import write_clip
from tests.running import ROOT, command
from watchlist.store import Store

PLAIN = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}


def turns(arguments: list[str], **more: str) -> set[int]:
    """How often a thread that waits looks again before it sleeps, as each OpenMP library says that the program loads."""
    env = {**PLAIN, "OMP_DISPLAY_ENV": "VERBOSE", **more}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, env=env, cwd=ROOT)
    return {int(line.partition("=")[2].strip(" '")) for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line}


@pytest.mark.parametrize("name", ["enrol", "search", "run", "evaluation", "camera"])
def test_waiting_threads_do_not_spin(name: str, tmp_path: Path) -> None:
    photo = tmp_path / "people" / "Ada" / "wall.png"  # that it shows nobody is found out by the networks
    photo.parent.mkdir(parents=True)
    Image.new("RGB", (200, 200), (90, 90, 90)).save(photo)
    Store(tmp_path / "farsight.db").close()
    clip, out = write_clip(tmp_path / "a.mp4", [0.0, 0.1]), tmp_path / "out"
    arguments = {
        "enrol": command("watchlist", "add", "Ada", photo, "--db", tmp_path / "people.db"),
        "search": command("search", photo, "--db", tmp_path),
        "run": command("run", "--source", clip, "--watchlist", tmp_path / "people", "--out", out, "--engine", "inline"),
        "evaluation": [sys.executable, "-c", "import synthetic.throughput"],
        "camera": [sys.executable, "-c", "import stages.video.camera_reader, torch"],
    }[name]
    assert turns(arguments) == {0}


def test_what_the_user_has_set_stays() -> None:
    assert min(turns([sys.executable, "-c", "import pipeline, torch"], OMP_WAIT_POLICY="ACTIVE")) > 0
    assert min(turns([sys.executable, "-c", "import torch, pipeline"])) > 0  # too late, which is how it was
