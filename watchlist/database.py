"""The SQLite database file: opening, migrations, transactions and the audit log."""

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
CHECKPOINT_TIMEOUT_MS = 10_000  # longest wait for readers before emptying the write-ahead log
ENGINE_TABLES = ("checkpoints",)  # tables of the engine, which may create the file first


class StoreUnavailable(StoreError):
    """The database is temporarily unavailable: it is locked, or its disk fails. A retry may succeed."""


class Database:
    """Opens a database. A missing file is created, unless ``must_exist`` is set.

    If the file or its folder is not writable, the database is opened for reading and ``read_only`` is True. No file is then
    written next to it.

    Raises:
        StoreError: the file is not a database, belongs to another program or a newer version, or is damaged.
    """

    def __init__(self, path: Path, must_exist: bool = False) -> None:
        if must_exist and not (path.is_file() and path.stat().st_size):
            raise StoreError(f"{path}: {'an empty file' if path.is_file() else 'no such database'}")
        if path.exists() and not path.is_file():
            raise StoreError(f"{path}: {'a folder' if path.is_dir() else 'a pipe, device or socket'}, not a database")
        self.path = path
        self.user = login_name()  # named in the audit log
        self._parts = ExitStack()
        try:
            self.read_only = path.is_file() and not is_writable(path)
            self.address = path.resolve().as_uri()  # URI for ATTACH
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
        """Open the file itself, or a copy if a write-ahead log or a migration has to be applied first."""
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
            for script in MIGRATIONS[self._version() :]:  # read again: another process may have migrated
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
        """Context manager: all reads see the same state of the database. It blocks no other connection."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Context manager: one atomic transaction. It waits for other writers; a nested one joins the outer transaction.

        Raises:
            StoreError: the database cannot be written.
        """
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
            if self._db.in_transaction:  # a full disk has already rolled it back
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def require_writable(self) -> None:
        """Raise StoreError if the file or its folder is not writable."""
        if self.read_only:
            raise StoreError(f"{self.path}: cannot be written to, and so not changed; copy it to a folder of your own first")

    def close(self) -> None:
        self._db.close()
        self._parts.close()

    def data_version(self) -> int:
        """A number that changes whenever another connection has changed the database."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

    def counter(self, column: str) -> int:
        """Read a counter of the table ``generation``. Raises StoreError if it is damaged."""
        row = self._db.execute(f"SELECT {column} FROM generation").fetchone()
        if row is None or not isinstance(row[0], int):
            raise damaged_error(self.path, f"its counter {column}")
        return int(row[0])

    def set_cache_mb(self, megabytes: int) -> None:
        """Set the page cache of this connection. Raise it for work that reads most of the file."""
        self._db.execute(f"PRAGMA cache_size = {-1000 * megabytes}")

    def set_busy_timeout(self, seconds: float) -> None:
        """Set how long this connection waits for other writers."""
        self._db.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    def set_reading(self, wait_s: float) -> None:
        """Make this connection read-only, waiting up to ``wait_s`` seconds for locks."""
        self.set_busy_timeout(wait_s)
        self._db.execute("PRAGMA query_only = ON")

    def compact(self) -> bool:
        """Rewrite the file without free space and empty the write-ahead log, so that neither holds deleted content.

        Returns:
            Whether it succeeded. It fails while another connection reads or writes.
        """
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
        """Append a row to the audit log.

        Args:
            what: kind of action.
            **detail: stored as JSON.

        Returns:
            False if the database is read-only and nothing was logged.
        """
        if self.read_only:
            return False
        with self.transaction():
            append(self._db, time.time(), what, json.dumps(detail), self.user)
        return True
