"""Temporary folders of killed runs do not pile up."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import owned_folders
from pipeline.owned_folders import OWNER, delete_owned_folder, owned_folder
from tests.running import ROOT

HOLD = """
import sys, time
from pathlib import Path
from pipeline.owned_folders import owned_folder
folder = owned_folder(Path(sys.argv[1]), "farsight-")
(folder / "log").write_text("a name")
print(folder, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned_folders, "MIN_AGE_S", -1.0)


def holder(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(parent)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folder_of_a_killed_run_is_deleted_by_the_next_and_that_of_a_running_one_stays(tmp_path: Path) -> None:
    process, left = holder(tmp_path)
    try:
        mine = owned_folder(tmp_path, "farsight-")
        assert (left / "log").exists() and mine.stat().st_mode & 0o777 == 0o700
    finally:
        process.kill()
        process.wait()
    other = owned_folder(tmp_path, "farsight-")
    assert not left.exists() and mine.exists()
    for folder in (mine, other):
        delete_owned_folder(folder)
    assert not list(tmp_path.iterdir())


def test_folders_that_are_not_ours_stay(tmp_path: Path) -> None:
    """One of the user's own, one of another program, a link, and one that was made a moment ago."""
    (tmp_path / "farsight-photos").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / OWNER).touch()
    (tmp_path / "farsight-link").symlink_to(tmp_path / "elsewhere")
    delete_owned_folder(owned_folder(tmp_path, "farsight-"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "farsight-link", "farsight-photos"]
    assert (tmp_path / "elsewhere" / OWNER).exists()


def test_a_folder_that_is_just_being_made_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owned_folders, "MIN_AGE_S", 60.0)
    (tmp_path / "farsight-new").mkdir()
    (tmp_path / "farsight-new" / OWNER).touch()
    assert owned_folders.delete_abandoned_folders(tmp_path, "farsight-") == 0 and (tmp_path / "farsight-new").exists()
