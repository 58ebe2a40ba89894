"""A database names only what lies in its own folder."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from console.report import write_report
from tests.stages.test_annotate import PATH, row
from tests.watchlist.test_retention_and_evidence import NOW
from watchlist.output_folder import OutputFolder
from watchlist.retention import RetentionPolicy, purge
from watchlist.store import Store

AWAY = [
    "/etc/passwd",
    "../secret.png",
    "crops/../../secret.png",
    "link/secret.png",
    "leads-away.png",
    "..",
    "",
    "a\0b.png",
    "c\\..\\d.png",
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder beside a secret, with links that lead out of it."""
    folder = tmp_path / "out"
    (folder / "crops").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path)
    (folder / "leads-away.png").symlink_to(tmp_path / "secret.png")
    (folder / "crops" / "own.png").write_bytes(b"own")
    return folder


@pytest.mark.parametrize("name", [*AWAY, None, 7, b"crops/own.png"])
def test_paths_that_leave_the_output_folder_are_refused(out: Path, name: object) -> None:
    folder = OutputFolder(out)
    assert folder.safe_path(name) is None and folder.picture_path(name) is None
    if name != "leads-away.png":  # the link itself lies in the folder
        assert not folder.delete_picture(name)
    assert (out.parent / "secret.png").exists()


def test_files_in_the_output_folder_are_found_and_only_pictures_are_deleted(out: Path) -> None:
    folder = OutputFolder(out)
    (out / "farsight.db").touch()
    (out / "inside.png").symlink_to(out / "crops" / "own.png")
    assert folder.picture_path("crops/own.png") == (out / "crops" / "own.png").resolve() == folder.picture_path("inside.png")
    assert (
        folder.picture_path("farsight.db") is None and not folder.delete_picture("farsight.db") and (out / "farsight.db").exists()
    )
    assert folder.delete_picture("crops/own.png") and not folder.delete_picture("crops/own.png")


def hostile(out: Path, **more: object) -> Store:
    """A database whose tracks name what is not theirs."""
    store = Store(out / "farsight.db")
    for number, name in enumerate(AWAY):
        track = row(PATH) | {"track": f"x-{number:04d}", "crop": name, "restored": "crops/own.png", "threshold": 0.4} | more
        store.put_tracks([track])
    return store


def test_a_case_holds_no_file_from_elsewhere(out: Path, tmp_path: Path) -> None:
    hostile(out).close()
    tracks = [word for number in range(len(AWAY)) for word in ("--track", f"cam/x-{number:04d}")]
    done = CliRunner().invoke(app, ["export", str(tmp_path / "case.zip"), "--db", str(out), *tracks])
    assert done.exit_code == 0, done.output
    with zipfile.ZipFile(tmp_path / "case.zip") as archive:
        assert set(archive.namelist()) == {"case.json", "sha256sums.txt", "crops/own.png"}
        assert b"secret" not in archive.read("crops/own.png")


def test_a_purge_deletes_no_file_from_elsewhere(out: Path) -> None:
    store = hostile(out, started_at=1e9, ended_at=1e9 + 1)
    outside = out.parent / "x-crop.png"
    outside.write_bytes(b"x")
    store.put_tracks([row(PATH) | {"source": "../..", "track": "x", "started_at": 1e9, "ended_at": 1e9 + 1}])
    assert purge(store, out, RetentionPolicy({"match": 1}), NOW).tracks == len(AWAY) + 1
    assert (out.parent / "secret.png").read_bytes() == b"secret" and outside.exists() and (out / "farsight.db").exists()


def test_the_report_shows_no_file_from_elsewhere(out: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8), (1, 2, 3)).save(out.parent / "secret.png")
    assert "data:image" not in write_report(hostile(out, restored=None), out).read_text()


@pytest.mark.parametrize("target", ["farsight.db", "farsight.db-wal", "./crops/../farsight.db", "hard.zip", "soft.zip"])
def test_a_case_is_never_written_over_its_database(out: Path, target: str) -> None:
    store = Store(out / "farsight.db")
    store.put_tracks([row(PATH)])
    (out / "hard.zip").hardlink_to(out / "farsight.db")
    (out / "soft.zip").symlink_to(out / "farsight.db")
    for force in ([], ["--force"]):
        done = CliRunner().invoke(app, ["export", str(out / target), "--db", str(out), "--track", "cam/x-0007", *force])
        assert done.exit_code and "is the database itself" in str(done.exception)
    assert len(Store(out / "farsight.db").tracks()) == 1


def test_a_case_never_takes_the_place_of_a_device_or_a_pipe(out: Path, tmp_path: Path) -> None:
    Store(out / "farsight.db").put_tracks([row(PATH)])
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for name in ("pipe", "null"):
        asked = ["export", str(tmp_path / name), "--db", str(out), "--track", "cam/x-0007", "--force"]
        assert "is no file" in str(CliRunner().invoke(app, asked).exception)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "null").is_symlink()


def test_a_file_that_is_there_is_replaced_only_by_force(out: Path, tmp_path: Path) -> None:
    Store(out / "farsight.db").put_tracks([row(PATH)])
    target = tmp_path / "case.zip"
    target.write_text("mine")
    command = ["export", str(target), "--db", str(out), "--track", "cam/x-0007"]
    refused = CliRunner().invoke(app, command)
    assert "is there already; name another file, or replace it with --force" in str(refused.exception)
    assert target.read_text() == "mine"
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    with zipfile.ZipFile(target) as archive:
        assert [t["track"] for t in json.loads(archive.read("case.json"))["tracks"]] == ["x-0007"]
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".case*"))
