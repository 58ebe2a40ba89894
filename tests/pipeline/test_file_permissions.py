"""What is written is for its user alone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from pipeline.errors import SettingsError
from pipeline.file_permissions import make_database_private, make_private
from pipeline.folder_lock import locked_folder
from tests.running import ROOT
from watchlist.jsonl import append_text, replace_text
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


LINKS = (
    *(".farsight.lock", ".lines.lock", "run.json", "run.part", "report.html", "report.part", "sightings.jsonl"),
    *("alerts.jsonl", "farsight.db", "farsight.db.templates", "several-faces", "crops", "annotated"),
    *("crops/gate", "annotated/gate.part.mp4", "annotated/gate.mp4"),
)


@pytest.mark.parametrize("name", LINKS)
def test_no_file_outside_is_written_through_a_link_in_a_folder_handed_over(tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    link = tmp_path / "out" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    out = str(tmp_path / "out")
    for command in ("run", "live", "demo"):
        with pytest.raises(SettingsError, match=f"{name}: is a link"), locked_folder(Path(out), command):
            pass
    for words in (["watchlist", "remove", "1"], ["purge", "--match", "1"]):
        done = CliRunner().invoke(app, [*words, "--db", f"{out}/farsight.db"])
        assert isinstance(done.exception, SettingsError) and "is a link" in str(done.exception)
    assert target.read_text() == "mine" and link.is_symlink()


def test_lines_and_pictures_break_links_that_somebody_made_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    for name in (".lines.lock", "lines.jsonl"):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(OSError, match="symbolic links"):
            append_text(tmp_path / "lines.jsonl", "a line\n")
        (tmp_path / name).unlink()
    replace_text(tmp_path / "report.html", "page")
    assert target.read_text() == "mine" and (tmp_path / "report.html").read_text() == "page"
