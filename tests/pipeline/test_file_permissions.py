"""What is written is for its user alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from pipeline.file_permissions import make_database_private, make_private
from tests.running import ROOT
from watchlist.store import Store


def open_to_others(folder: Path) -> list[str]:
    return [str(p.relative_to(folder.parent)) for p in [folder, *folder.rglob("*")] if stat.S_IMODE(p.lstat().st_mode) & 0o077]


def test_what_an_earlier_version_left_open_is_closed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "crops" / "gate").mkdir(parents=True)
    for name in ("farsight.db", "sightings.jsonl", "report.html", "crops/gate/x.png"):
        (out / name).write_text("x")
    for path in [out, *out.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    make_private(out)
    assert open_to_others(out) == []
    assert stat.S_IMODE((out / "farsight.db").stat().st_mode) == 0o600 and stat.S_IMODE(out.stat().st_mode) == 0o700


def test_a_folder_that_holds_other_things_stays_as_it_is_but_ours_in_it_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "project"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    (home / "script.sh").touch()
    (home / "script.sh").chmod(0o755)
    Store(home / "people.db").close()
    (home / "people.db").chmod(0o644)
    make_database_private(home / "people.db")
    make_private(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o755 and stat.S_IMODE((home / "script.sh").stat().st_mode) == 0o755
    assert stat.S_IMODE((home / "people.db").stat().st_mode) == 0o600


def test_a_command_writes_for_its_user_alone_whatever_the_umask(tmp_path: Path) -> None:
    store = Store(tmp_path / "w" / "farsight.db")
    store.add_identity("Ada")
    store.close()
    (tmp_path / "w" / "farsight.db").chmod(0o666)
    (tmp_path / "w").chmod(0o777)
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "watchlist", "list", "--db", str(tmp_path / "w")]
    done = subprocess.run(command, capture_output=True, text=True, umask=0, timeout=120)
    assert done.returncode == 0 and "Ada" in done.stdout
    assert open_to_others(tmp_path / "w") == []


def test_a_new_database_is_closed_from_its_first_moment(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path / "n.db")
        store.add_identity("Ada")
        assert [stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob("n.db*")] == [0o600] * 3
    finally:
        os.umask(before)
