"""A SQLite connection whose errors name the file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

Result = TypeVar("Result")
MIN_FREE_BYTES = 1 << 16
COPY = "farsight-copy-"  # prefix of temporary folders; the process id follows
STALE_S = 3600.0  # younger copies stay: the owner may be a process of another container, which cannot be seen here
BUSY_TIMEOUT_S = 30  # how long to wait for another writer
DAMAGE_MESSAGES = ("no such table", "no such index", "no such column", "no column", "could not decode", "malformed")


class StoreError(ValueError):
    """The database cannot be used. The text is one line that says why."""


def damaged_error(path: Path, what: object) -> StoreError:
    """The error for a database with damaged content."""
    return StoreError(f"{path}: damaged ({what}); put back a copy of it from before")


class Connection(sqlite3.Connection):
    """Raises StoreError with the file's name if the file is damaged. Other errors (locked, full) stay those of SQLite."""

    path = Path()

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(_Cursor)

    def execute(self, *arguments: Any) -> Any:
        return self.cursor().execute(*arguments)  # sqlite3's method would use a plain cursor

    def executemany(self, *arguments: Any) -> Any:
        return self.cursor().executemany(*arguments)


class _Cursor(sqlite3.Cursor):
    def execute(self, *arguments: Any) -> Any:
        return self._named(super().execute, *arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self._named(super().executemany, *arguments)

    def fetchone(self) -> Any:
        return self._named(super().fetchone)

    def fetchmany(self, *arguments: Any) -> Any:
        return self._named(super().fetchmany, *arguments)

    def fetchall(self) -> Any:
        return self._named(super().fetchall)

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        while rows := self.fetchmany(256):
            yield from rows

    def _named(self, call: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return call(*arguments)
        except UnicodeDecodeError:  # SQLite's message quotes the damaged schema
            raise damaged_error(getattr(self.connection, "path", Path()), "its schema holds what is no text") from None
        except OverflowError:  # such as an id of 30 digits
            raise StoreError(f"{getattr(self.connection, 'path', Path())}: a number is larger than any it holds") from None
        except sqlite3.DatabaseError as error:
            path = getattr(self.connection, "path", Path())
            message = str(error).lower()
            if "not a database" in message:
                raise StoreError(f"{path}: not usable as a database ({error})") from None
            if type(error) is sqlite3.DatabaseError or any(word in message for word in DAMAGE_MESSAGES):
                raise damaged_error(path, error) from None
            raise


def is_writable(path: Path) -> bool:
    """Whether a database can be changed: its file and its folder, which holds the write-ahead log, are writable."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def is_full(path: Path) -> bool:
    """Whether the disk has no room for the files that SQLite keeps next to an open database."""
    try:
        return shutil.disk_usage(path.parent).free < MIN_FREE_BYTES
    except OSError:
        return False


def connect(path: Path, must_exist: bool) -> Connection:
    """Open a database for reading and writing. Deleted content is overwritten. A new file has mode 0600."""
    if not must_exist:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):  # a file that exists is not opened: closing it would end the locks of this process
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = _connected(path, f"{path.resolve().as_uri()}?mode=rw")
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA journal_mode = WAL")
    return db


@contextmanager
def read_beside_connections(path: Path) -> Iterator[IO[bytes]]:
    """Read a file that this process may have open as a database.

    POSIX locks belong to a process, and closing any descriptor of a file ends all locks the process holds on it. Another process
    could then delete the write-ahead log under an open connection (sqlite.org/howtocorrupt.html, section 2.2). So a child process
    opens the file.

    Args:
        path: the file.

    Yields:
        Its content, to be read from the start.

    Raises:
        OSError: the file cannot be read.
    """
    path.stat()
    with subprocess.Popen(["cat", "--", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        yield child.stdout
        child.stdout.close()
        if child.wait():
            raise OSError(f"{path}: cannot be read")


@contextmanager
def temporary_copy(path: Path) -> Iterator[Path]:
    """Copy a database and its write-ahead log to a private temporary folder. Copies of killed processes are deleted.

    Yields:
        The copy's path. The copy is deleted at the end of the block.
    """
    _delete_stale_copies()
    with tempfile.TemporaryDirectory(prefix=f"{COPY}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        for end in ("", "-wal"):
            part = path.with_name(path.name + end)
            if part.is_file():
                shutil.copyfile(part, Path(folder) / part.name)
                (Path(folder) / part.name).chmod(0o600)
        yield Path(folder) / path.name


def _delete_stale_copies() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{COPY}*"):
        with suppress(OSError, ValueError, OverflowError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < STALE_S:
                continue
            try:
                os.kill(int(folder.name.removeprefix(COPY).partition("-")[0]), 0)
            except ProcessLookupError:
                shutil.rmtree(folder)  # refuses a symbolic link


def has_wal(path: Path) -> bool:
    """Whether the database has a write-ahead log with content, which a reader must apply."""
    log = path.with_name(path.name + "-wal")
    return log.is_file() and log.stat().st_size > 0


def connect_immutable(path: Path) -> Connection:
    """Open a database read-only, on a medium that nobody writes to. SQLite then needs no lock and no further files."""
    return _connected(path, immutable_uri(path))


def immutable_uri(path: Path) -> str:
    """URI with which SQLite opens a database read-only and without locks."""
    return f"{path.resolve().as_uri()}?mode=ro&immutable=1"


def _connected(path: Path, address: str) -> Connection:
    db = sqlite3.connect(
        address, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, factory=Connection, uri=True
    )
    db.path = path
    db.row_factory = sqlite3.Row
    return db
