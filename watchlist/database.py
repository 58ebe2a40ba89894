"""The database file: opening, migration, transactions, audit log."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from watchlist.audit_chain import append, chain_existing, login_name
from watchlist.schema import MIGRATIONS, VERSION
from watchlist.sqlite_connection import (
    BUSY_TIMEOUT_S,
    StoreError,
    connect,
    connect_immutable,
    damaged_error,
    has_wal,
    immutable_uri,
    is_full,
    is_writable,
    temporary_copy,
)

__all__ = ["Database", "StoreError", "StoreUnavailable"]
CHECKPOINT_TIMEOUT_MS = 10_000  # that readers are given to end, before the write-ahead log cannot be emptied
ENGINE_TABLES = ("checkpoints",)  # of the engine, which may have been here first


class StoreUnavailable(StoreError):
    """The database cannot be used just now: it is locked, or its disk fails. Later it may work."""


class Database:
    """Opens (and makes, unless ``must_exist``) a database.

    Where file or folder cannot be written to (a read-only medium, somebody else's folder) it is opened for reading, and
    ``read_only`` says so; nothing is written beside it then.

    Raises:
        StoreError: the file is no database, one of another program or of a newer version, or damaged.
    """

    def __init__(self, path: Path, must_exist: bool = False) -> None:
        if must_exist and not (path.is_file() and path.stat().st_size):
            raise StoreError(f"{path}: {'an empty file' if path.is_file() else 'no such database'}")
        if path.exists() and not path.is_file():
            raise StoreError(f"{path}: {'a folder' if path.is_dir() else 'a pipe, device or socket'}, not a database")
        self.path = path
        self.user = login_name()  # who is named in the audit log
        self._parts = ExitStack()
        try:
            self.read_only = path.is_file() and not is_writable(path)
            self.address = path.resolve().as_uri()  # for ATTACH
            self._db = self._open_read_only() if self.read_only else connect(path, must_exist)
            self._db.execute("PRAGMA foreign_keys = ON")
            if not self.read_only:
                self._migrate()
        except (sqlite3.OperationalError, OSError) as error:
            self._parts.close()
            why = f"{error}; its disk is full" if is_full(path) else error
            raise StoreUnavailable(f"{path}: not usable as a database ({why})") from None
        except sqlite3.Error as error:
            self._parts.close()
            raise StoreError(f"{path}: not usable as a database ({error})") from None
        except StoreError:
            self._parts.close()
            raise

    def _open_read_only(self) -> Any:
        """The database itself where that tells all; else a copy, in which the write-ahead log or a migration takes effect."""
        self._db = connect_immutable(self.path)
        self.address = immutable_uri(self.path)
        self._refuse_foreign()
        if not has_wal(self.path) and self._version() == VERSION:
            return self._db
        self._db.close()
        copy = self._parts.enter_context(temporary_copy(self.path))
        self._db, self.address = connect(copy, must_exist=True), copy.as_uri()
        self._db.path = self.path
        self._migrate()
        self._db.execute("PRAGMA query_only = ON")
        return self._db

    def _migrate(self) -> None:
        self._refuse_foreign()
        if self._version() == VERSION:
            return
        with self._whole():
            for script in MIGRATIONS[self._version() :]:  # asked again: another process may have been quicker
                for statement in script.split(";\n"):
                    if statement.strip():
                        self._db.execute(statement)
            chain_existing(self._db)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _refuse_foreign(self) -> None:
        if self._version() > VERSION:
            raise StoreError(f"{self.path}: written by a newer version (schema {self._version()}, this one knows {VERSION})")
        tables = {str(row[0]) for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not self._version() and (others := {t for t in tables if not t.startswith("sqlite_")} - set(ENGINE_TABLES)):
            raise StoreError(
                f"{self.path}: a database of another program (it holds the table {min(others)!r}); name another file"
            )

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
        """All or nothing; waits for another writer. Inside another one it is part of that. Raises StoreError where nothing can be
        written."""
        if self._db.in_transaction:
            yield
            return
        self.require_writable()
        with self._whole():
            yield

    @contextmanager
    def _whole(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it already
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def require_writable(self) -> None:
        """Raises StoreError where the file or its folder cannot be written to."""
        if self.read_only:
            raise StoreError(f"{self.path}: cannot be written to, and so not changed; copy it to a folder of your own first")

    def close(self) -> None:
        self._db.close()
        self._parts.close()

    def data_version(self) -> int:
        """Another number whenever somebody else has changed the database."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def counter(self, column: str) -> int:
        """One of the counters in the table ``generation``. Raises StoreError where that was damaged."""
        row = self._db.execute(f"SELECT {column} FROM generation").fetchone()
        if row is None or not isinstance(row[0], int):
            raise damaged_error(self.path, f"its counter {column}")
        return int(row[0])

    def set_cache_mb(self, megabytes: int) -> None:
        """Let this connection keep so much of the file in memory, for work that touches most of it."""
        self._db.execute(f"PRAGMA cache_size = {-1000 * megabytes}")

    def set_busy_timeout(self, seconds: float) -> None:
        """How long this connection waits for another writer."""
        self._db.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    def set_reading(self, wait_s: float) -> None:
        """From now on this connection only reads."""
        self.set_busy_timeout(wait_s)
        self._db.execute("PRAGMA query_only = ON")

    def compact(self) -> bool:
        """Write the file anew without free space, and empty the write-ahead log, so that nothing deleted is left in either.
        Returns whether it could: somebody who reads or writes at that moment is in the way."""
        try:
            self._db.execute("VACUUM")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            return False
        self._db.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT_MS}")
        try:
            return not self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {1000 * BUSY_TIMEOUT_S}")

    def log_audit(self, what: str, **detail: Any) -> bool:
        """Append to the audit log: what was done, when, with what. Returns whether it could be: not where all is read-only."""
        if self.read_only:
            return False
        with self.transaction():
            append(self._db, time.time(), what, json.dumps(detail), self.user)
        return True
