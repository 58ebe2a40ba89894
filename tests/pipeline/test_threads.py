"""Threads of the numeric libraries sleep while they wait, whatever is called: on a busy machine spinning takes half its speed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, command

PLAIN = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}


def policies(arguments: list[str], **more: str) -> set[str]:
    """How threads wait, as each OpenMP library says that the program loads."""
    env = {**PLAIN, "OMP_DISPLAY_ENV": "TRUE", **more}
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, env=env, cwd=ROOT)
    return {line.partition("=")[2].strip(" '") for line in done.stderr.splitlines() if "OMP_WAIT_POLICY" in line}


@pytest.mark.parametrize("name", ["enrol", "search", "run", "evaluation", "camera"])
def test_waiting_threads_do_not_spin(name: str, corridor: Path, inline: Path, tmp_path: Path) -> None:
    photo = next((corridor / "people").glob("*/photo.png"))
    arguments = {
        "enrol": command("watchlist", "add", "Ada", photo, "--db", tmp_path / "people.db"),
        "search": command("search", photo, "--db", inline),
        "run": command("run", "--source", photo, "--watchlist", photo.parent.parent, "--out", tmp_path, "--engine", "inline"),
        "evaluation": [sys.executable, "-c", "import evaluation.throughput"],
        "camera": [sys.executable, "-c", "import stages.camera_reader, torch"],
    }[name]
    assert policies(arguments) == {"PASSIVE"}


def test_what_the_user_has_set_stays() -> None:
    code = "import pipeline, torch"
    assert policies([sys.executable, "-c", code], OMP_WAIT_POLICY="ACTIVE") == {"ACTIVE"}
    assert policies([sys.executable, "-c", "import torch, pipeline"]) != {"PASSIVE"}  # which shows that the test can fail
