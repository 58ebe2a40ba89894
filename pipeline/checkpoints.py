"""How far each source has been read, kept in the output database beside the results it vouches for."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoints (
    source TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    pts_s REAL NOT NULL,
    done INTEGER NOT NULL,
    state BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class Checkpoint:
    """How far a source has been read: ``state`` is what the stages held, or the report as JSON when it is ``done``."""

    url: str
    pts_s: float
    done: bool
    state: bytes


class Checkpoints:
    """One row a source: everything up to ``pts_s`` is written, ``state`` is what the stages still held then."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(SCHEMA)

    def save(self, source: str, url: str, pts_s: float, done: bool, state: bytes) -> None:
        self._db.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET "
            "url = excluded.url, pts_s = excluded.pts_s, done = excluded.done, state = excluded.state",
            (source, url, pts_s, int(done), state),
        )

    def load(self, source: str) -> Checkpoint | None:
        """The checkpoint of a source, or None if it has none."""
        row = self._db.execute("SELECT url, pts_s, done, state FROM checkpoints WHERE source = ?", (source,)).fetchone()
        return None if row is None else Checkpoint(str(row[0]), float(row[1]), bool(row[2]), bytes(row[3]))

    def close(self) -> None:
        self._db.close()
