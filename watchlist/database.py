"""The connection to a database file: opening, migrating, transactions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from watchlist.schema import MIGRATIONS, VERSION


class StoreError(ValueError):
    """The database cannot be used: one line that says why."""


class StoreUnavailable(StoreError):
    """The database cannot be used just now: it is locked, or its disk fails. Later it may work."""


class Database:
    """Opens (and makes, unless ``must_exist``) a database. Raises StoreError if the file is none, or of a newer version."""

    def __init__(self, path: Path, must_exist: bool = False) -> None:
        if must_exist and not (path.is_file() and path.stat().st_size):
            raise StoreError(f"{path}: {'an empty file' if path.is_file() else 'no such database'}")
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._migrate()
        except (sqlite3.OperationalError, OSError) as error:
            raise StoreUnavailable(f"{path}: not usable as a database ({error})") from None
        except sqlite3.Error as error:
            raise StoreError(f"{path}: not usable as a database ({error})") from None

    def _migrate(self) -> None:
        if self._version() > VERSION:
            raise StoreError(f"{self.path}: written by a newer version (schema {self._version()}, this one knows {VERSION})")
        if self._version() == VERSION:
            return
        with self.transaction():
            for script in MIGRATIONS[self._version() :]:  # asked again: another process may have been quicker
                for statement in script.split(";\n"):
                    if statement.strip():
                        self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _version(self) -> int:
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read in it is of one moment; nobody has to wait."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; waits for another writer. Inside another one it is part of that."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()

    def overwrite_deleted(self) -> None:
        """From now on what is deleted through this connection is overwritten with zeros, not only unlinked."""
        self._db.execute("PRAGMA secure_delete = ON")

    def checkpoint(self) -> None:
        """Bring the write-ahead log into the file and empty it, where nobody else is reading."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def note(self, what: str, **detail: Any) -> None:
        """Append to the audit log: what was done, when, with what."""
        self._db.execute("INSERT INTO audit (at, what, detail) VALUES (?, ?, ?)", (time.time(), what, json.dumps(detail)))
