"""Every command and every Python block of README works as it stands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT, command

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.S)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [line for language, text in BLOCKS if not language for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def folder(corridor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as README supposes it: a recording, photos of people, a photo to search for."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copy(corridor / "corridor.mp4", folder / "recording.mp4")
    shutil.copytree(corridor / "people", folder / "people")
    shutil.copy(next((corridor / "people").rglob("*.png")), folder / "photo.jpg")
    return folder


def test_readme_is_short_and_holds_code() -> None:
    assert len(README.splitlines()) < 120
    assert len(PYTHON) >= 2 and len(SHELL) >= 3


@pytest.mark.parametrize("code", PYTHON)
def test_a_python_block_of_readme_runs(folder: Path, code: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("line", SHELL)
def test_a_command_of_readme_is_there(folder: Path, line: str, tmp_path: Path) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.M)
        return
    assert words[0] == ".venv/bin/farsight"
    arguments = [str(tmp_path / "out") if word == "out/" else word for word in words[1:]]
    done = subprocess.run(command(*arguments, "--no-video"), cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").is_file()
