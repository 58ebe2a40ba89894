"""How far each source has been read, kept in the output database beside the results it vouches for."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from pipeline.protocol import SourceReport

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

    def report(self) -> SourceReport:
        """How reading ended, when it is ``done``."""
        return SourceReport(**json.loads(self.state))

    def mended(self, url: str) -> bool:
        """Whether only a part of a file could be read, and it was written to since, as one that is copied to its end: what has
        become shorter cannot show again what was seen."""
        if not self.done or (report := self.report()).status != "incomplete":
            return False
        now = file_stamp(url)
        return now not in ("", report.file) and _size(now) >= _size(report.file)


def file_stamp(url: str) -> str:
    """Size and time of change of a file, which tell whether it was written to; nothing if there is no such file."""
    try:
        found = Path(url).stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _size(stamp: str) -> int:
    return int(stamp.partition(" ")[0] or 0)


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

    def forget(self, source: str) -> None:
        """Have a source read from its start."""
        self._db.execute("DELETE FROM checkpoints WHERE source = ?", (source,))

    def close(self) -> None:
        self._db.close()
