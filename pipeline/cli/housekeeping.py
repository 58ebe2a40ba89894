"""What goes on beside live watching: the watchlist is followed as it changes, and what is old is forgotten."""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

import structlog

from pipeline.cli.common import DATABASE, database_path
from pipeline.settings import RetentionSettings

LOOK_S = 0.3
PURGE_S = 3600.0


class Housekeeping:
    """A thread of its own, so that nothing it does holds up the watching. ``watchlist`` as the user named it: a database is
    copied into ``out``'s whenever it changes, people kept as a folder or CSV are not looked at again."""

    def __init__(self, watchlist: Path, out: Path, retention: RetentionSettings) -> None:
        path = database_path(watchlist) if watchlist.is_dir() else watchlist
        self._watchlist = path if path.is_file() and path.suffix.lower() != ".csv" else None
        self._out, self._retention = out, retention
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(2.0)

    def _run(self) -> None:
        from watchlist.database import StoreError
        from watchlist.store import Store

        log = structlog.get_logger()
        seen: object = None
        purge_at = 0.0
        while not self._stopping.wait(LOOK_S):
            try:
                if self._watchlist is not None and self._watchlist.resolve() != (self._out / DATABASE).resolve():
                    other = Store(self._watchlist, must_exist=True)
                    generation = other.generation()
                    if generation != seen:
                        store = Store(self._out / DATABASE)
                        store.copy_watchlist(other)
                        store.close()
                        log.info("watchlist read", people=len(other.identities()))
                        seen = generation
                    other.close()
                if time.monotonic() >= purge_at and any(days is not None for _, days in self._retention):
                    purge_at = time.monotonic() + PURGE_S
                    self._purge()
            except (StoreError, sqlite3.Error, OSError) as error:
                log.error("trouble", what=f"housekeeping: {error}")
                self._stopping.wait(10 * LOOK_S)

    def _purge(self) -> None:
        from watchlist.retention import Policy, purge
        from watchlist.store import Store

        days = self._retention.model_dump()
        pictures = days.pop("pictures")
        store = Store(self._out / DATABASE)
        proof = purge(store, self._out, Policy(days, pictures))
        store.close()
        if proof.tracks or proof.pictures:
            structlog.get_logger().info("purged", tracks=proof.tracks, pictures=proof.pictures, left=proof.left)
