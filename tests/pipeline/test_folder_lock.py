"""Only one process writes into an output folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import folder_lock
from pipeline.errors import SettingsError
from pipeline.folder_lock import LOCK, lock_owner, locked_folder
from tests.running import ROOT

HOLD = """
import sys, time
from pathlib import Path
from pipeline.folder_lock import locked_folder
with locked_folder(Path(sys.argv[1]), "live"):
    print("mine", flush=True)
    time.sleep(60)
"""


def holder(out: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "mine\n"
    return process


def test_the_second_owner_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    process = holder(tmp_path)
    try:
        said = rf"`live` \(process {process.pid} since 20\d\d-.*writes into it; wait for it, stop it, or name another folder"
        with pytest.raises(SettingsError, match=said), locked_folder(tmp_path, "run"):
            raise AssertionError("two owners")
        link = tmp_path.parent / f"{tmp_path.name}-link"
        link.symlink_to(tmp_path)
        with pytest.raises(SettingsError), locked_folder(link, "run"):
            raise AssertionError("two owners by two names of the folder")
    finally:
        process.kill()
        process.wait()


def test_a_file_that_shares_the_lock_file_is_not_written_over(tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("mine")
    (tmp_path / LOCK).hardlink_to(other)
    with locked_folder(tmp_path, "run"):
        owner = lock_owner(tmp_path)
        assert owner is not None and owner["pid"] == os.getpid()
    assert other.read_text() == "mine" and not (tmp_path / LOCK).exists()


def test_the_lock_of_a_killed_owner_is_taken_over(tmp_path: Path) -> None:
    process = holder(tmp_path)
    process.kill()
    process.wait()
    dead = lock_owner(tmp_path)
    assert dead is not None and dead["pid"] == process.pid  # its lock file is still there
    with locked_folder(tmp_path, "run"):
        mine = lock_owner(tmp_path)
        assert mine is not None and mine["pid"] == os.getpid() and abs(mine["started"] - time.time()) < 60
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / LOCK).exists()


@pytest.mark.system
def test_a_child_that_outlives_its_parent_does_not_keep_the_lock(tmp_path: Path) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from pipeline.folder_lock import locked_folder\n"
        "locked_folder(Path(sys.argv[1]), 'run').__enter__()\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(30); os._exit(0)\n"
        "print(child, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60)
    try:
        with locked_folder(tmp_path, "run"):
            assert lock_owner(tmp_path)
    finally:
        os.kill(int(done.stdout), 9)


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_a_lock_file_with_rubbish_in_it_says_as_much_as_it_can(tmp_path: Path, content: str) -> None:
    process = holder(tmp_path)
    (tmp_path / LOCK).write_text(content)
    try:
        with pytest.raises(SettingsError, match="writes into it"), locked_folder(tmp_path, "run"):
            raise AssertionError("two owners")
    finally:
        process.kill()
        process.wait()
    with locked_folder(tmp_path, "run"):
        pass


def test_where_the_file_system_has_no_locks_the_living_process_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", flock)
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = {"pid": other.pid, "started": time.time(), "host": folder_lock.socket.gethostname(), "command": "run"}
    (tmp_path / LOCK).write_text(json.dumps(owner))
    with pytest.raises(SettingsError, match=f"process {other.pid}"), locked_folder(tmp_path, "run"):
        raise AssertionError("two owners")
    other.kill()
    other.wait()
    with locked_folder(tmp_path, "run"):
        pass
