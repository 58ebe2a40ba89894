"""What every route shares: the database's connections, the output folder and how the server was started."""

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

WRITE_WAIT_S = 5.0  # for another writer, before the browser is told to try again
READ_WAIT_S = 5.0


@dataclass(frozen=True)
class Options:
    """How the server was started.

    Attributes:
        anonymous: read-only use without an account is allowed while there is no account: on loopback, not behind a proxy.
        secure: cookies are for HTTPS alone.
        behind_proxy: a proxy in front ends TLS and tells the client's address in ``X-Forwarded-For``.
    """

    anonymous: bool = True
    secure: bool = False
    behind_proxy: bool = False


@dataclass
class Console:
    """One output folder's database and the server's options. Reading never blocks a writer; one request writes at a time.

    Attributes:
        database: the file.
        options: how the server was started.
        command: the program and its first arguments, to start jobs with; empty: no job can be started.
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
        """The output folder, opened safely: no link leads out of it."""
        return OutputFolder(self.out)

    def reader(self) -> Store:
        """This thread's connection, which cannot write."""
        found: Store | None = getattr(self._own, "store", None)
        if found is None:
            found = self._own.store = Store(self.database, must_exist=True)
            found.set_reading(READ_WAIT_S)
        return found

    @contextmanager
    def writer(self, user: str) -> Iterator[Store]:
        """The connection that writes, for ``user``, who is named in the audit log. One request has it at a time.

        Raises:
            Problem: 503 with ``Retry-After`` where another program keeps the database locked.
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
    """The shared state of the running application."""
    found: Console = request.app.state.console
    return found
