"""What one process does with a database file must not end the locks of its other connections.

POSIX locks belong to a process: to close any descriptor of a file ends all locks that the process holds on it. Another process
then takes its connection for the last one, deletes the write-ahead log, and the database is damaged.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from watchlist.leftover_scan import LeftoverScanner, find_salted
from watchlist.store import Store

OTHER = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT id FROM identities').fetchone(); db.close()"


def open_again(path: Path) -> None:
    Store(path).close()


def search_for_names(path: Path) -> None:
    assert LeftoverScanner([b"somebody else"], (), set()).scan_file(path) == set()


def search_for_sums(path: Path) -> None:
    assert find_salted(path, {(13, 1, 1)}) == set()


@pytest.mark.parametrize("use", [open_again, search_for_names, search_for_sums])
def test_another_process_does_not_delete_the_log_of_an_open_database(tmp_path: Path, use: Callable[[Path], None]) -> None:
    path = tmp_path / "farsight.db"
    store = Store(path)
    store.add_identity("Ada")
    use(path)
    log = tmp_path / "farsight.db-wal"
    before = log.stat().st_ino
    subprocess.run([sys.executable, "-c", OTHER, str(path)], check=True)
    assert log.exists() and log.stat().st_ino == before
    store.add_identity("Bo")
    store.close()
    assert [person.name for person in Store(path).identities()] == ["Ada", "Bo"]


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"farsight\.db"):
        search_for_names(tmp_path / "farsight.db")
