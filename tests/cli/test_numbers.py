"""Options that are numbers take none without end, which would pass every comparison; ids may have any number of digits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from pipeline.errors import SettingsError
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("live", "--config", "none.yaml", "--duration"),
        ("search", "a.jpg", "--db", "none", "--fpir"),
        ("search", "a.jpg", "--db", "none", "--least-px"),
        ("purge", "--db", "none", "--match"),
        ("bench", "--seconds"),
        ("demo", "--seconds"),
    ],
)
def test_numbers_without_end_are_refused(arguments: tuple[str, ...], value: str) -> None:
    done = CliRunner().invoke(app, [*arguments[:-1], f"{arguments[-1]}={value}"])
    assert done.exit_code == 2 and ("finite" in done.output or "Input should be" in done.output)


@pytest.mark.parametrize(
    "words",
    [
        ["export", "case.zip", "--identity", "9" * 30],
        ["watchlist", "remove", "9" * 30],
        ["watchlist", "photos", "9" * 30],
        ["watchlist", "merge", "9" * 30, "1"],
        ["watchlist", "move", "1", "9" * 30, "--photo", "9" * 30],
        ["watchlist", "disable", "9" * 30],
        ["watchlist", "update", "9" * 30, "--purpose", "x"],
        ["search", "--identity", "9" * 30],
    ],
)
def test_an_id_of_thirty_digits_is_nobody_s_in_one_line(tmp_path: Path, words: list[str]) -> None:
    Store(tmp_path / "farsight.db").close()
    done = CliRunner().invoke(app, [*words, "--db", str(tmp_path)])
    assert done.exit_code == 2 or isinstance(done.exception, SettingsError | StoreError), done


def test_a_database_that_is_a_pipe_or_a_folder_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "folder.db").mkdir()
    for name, what in (("pipe.db", "a pipe"), ("folder.db", "a folder")):
        with pytest.raises(StoreError, match=f"{name}: {what}"):
            Store(tmp_path / name)


def test_bench_says_at_once_that_its_figures_cannot_be_written(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "--json", str(tmp_path / "none" / "x.json")])
    assert "no such folder" in str(done.exception)
