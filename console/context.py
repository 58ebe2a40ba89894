"""State shared by all routes: database connections, output folder and server options."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request

from console.problems import busy
from watchlist.output_folder import OutputFolder
from watchlist.store import Store

WRITE_WAIT_S = 5.0  # longest wait for another writer, before the answer is 503
READ_WAIT_S = 5.0  # longest wait of a reader for a lock


@dataclass(frozen=True)
class Options:
    """How the server was started.

    Attributes:
        anonymous: allow reading without signing in while there is no account. Only for a server on loopback without a proxy.
        secure: the console is served over HTTPS: cookies are ``Secure`` and HSTS is sent.
        behind_proxy: a reverse proxy terminates TLS and puts the client's address into ``X-Forwarded-For``.
    """

    anonymous: bool = True
    secure: bool = False
    behind_proxy: bool = False


@dataclass
class Console:
    """The database of one output folder, and the server's options.

    Each thread reads on its own connection, which never blocks a writer. All requests share one writing connection.

    Attributes:
        database: ``farsight.db`` of the output folder.
        options: how the server was started.
        command: program and first arguments that start a run; empty: runs cannot be started.
    """

    database: Path
    options: Options = field(default_factory=Options)
    command: tuple[str, ...] = ()
    _own: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _writer: Store | None = None

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.database.parent

    @property
    def folder(self) -> OutputFolder:
        """Safe access to files of the output folder: links that lead out of it are not followed."""
        return OutputFolder(self.out)

    def reader(self) -> Store:
        """The read-only connection of the calling thread. Raises StoreError if the database cannot be opened."""
        found: Store | None = getattr(self._own, "store", None)
        if found is None:
            found = self._own.store = Store(self.database, must_exist=True)
            found.set_reading(READ_WAIT_S)
        return found

    @contextmanager
    def writer(self, user: str) -> Iterator[Store]:
        """Context manager: the writing connection. One request holds it at a time.

        Args:
            user: name for the audit log.

        Raises:
            Problem: 503 with ``Retry-After`` if another request or program keeps the database locked.
        """
        if not self._lock.acquire(timeout=WRITE_WAIT_S):
            raise busy()
        try:
            if self._writer is None:
                self._writer = Store(self.database, must_exist=True)
                self._writer.set_busy_timeout(WRITE_WAIT_S)
            self._writer.user = user
            yield self._writer
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise busy() from None
            raise
        finally:
            self._lock.release()


def console_of(request: Request) -> Console:
    """The `Console` of the running application."""
    found: Console = request.app.state.console
    return found
