"""The database: the only truth. Indexes, JSON lines and reports are made from it and can be made again."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SCHEMA = """
CREATE TABLE identities (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    external_id TEXT, purpose TEXT, authority TEXT, expires TEXT,
    created REAL NOT NULL,
    removed REAL
);
CREATE UNIQUE INDEX identities_name ON identities (name) WHERE removed IS NULL;
CREATE TABLE enrolments (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    identity INTEGER NOT NULL REFERENCES identities (id),
    photo TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    chip BLOB NOT NULL,
    vector BLOB NOT NULL,
    recognizer TEXT NOT NULL,
    quality REAL NOT NULL,
    face_px REAL NOT NULL,
    created REAL NOT NULL,
    UNIQUE (identity, sha256)
);
CREATE TABLE tracks (
    source TEXT NOT NULL,
    track TEXT NOT NULL,
    version INTEGER NOT NULL,
    final INTEGER NOT NULL,
    start_s REAL NOT NULL,
    end_s REAL NOT NULL,
    face_px REAL NOT NULL,
    shots INTEGER NOT NULL,
    template BLOB,
    recognizer TEXT,
    quality REAL NOT NULL,
    best_pts_s REAL,
    best_box TEXT,
    crop TEXT,
    restored TEXT,
    path BLOB NOT NULL,
    outcome TEXT NOT NULL,
    identity INTEGER,
    name TEXT,
    nearest TEXT,
    score REAL,
    threshold REAL,
    fpir REAL NOT NULL,
    reasons TEXT NOT NULL,
    PRIMARY KEY (source, track)
);
CREATE INDEX tracks_time ON tracks (source, start_s);
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, what TEXT NOT NULL, detail TEXT NOT NULL);
"""
LIVE = """
ALTER TABLE tracks ADD COLUMN started_at REAL;
ALTER TABLE tracks ADD COLUMN ended_at REAL;
CREATE INDEX tracks_at ON tracks (started_at);
CREATE TABLE alerts (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    at REAL NOT NULL,
    source TEXT NOT NULL,
    track TEXT NOT NULL,
    identity INTEGER NOT NULL,
    content TEXT NOT NULL
);
CREATE INDEX alerts_last ON alerts (source, identity, at);
CREATE TABLE undelivered (
    sink TEXT NOT NULL,
    alert TEXT NOT NULL REFERENCES alerts (key) ON DELETE CASCADE,
    PRIMARY KEY (sink, alert)
);
"""
MIGRATIONS = (SCHEMA, LIVE)  # the n-th leads to ``user_version`` n
VERSION = len(MIGRATIONS)
TRACK_COLUMNS = (
    "source track version final start_s end_s face_px shots template recognizer quality best_pts_s best_box crop restored path "
    "outcome identity name nearest score threshold fpir reasons started_at ended_at"
).split()


class StoreError(ValueError):
    """The database cannot be used: one line that says why."""


@dataclass(frozen=True)
class Identity:
    """A person on the watchlist; ``photos`` counts the enrolled ones."""

    id: int
    name: str
    external_id: str | None
    purpose: str | None
    authority: str | None
    expires: str | None
    photos: int


@dataclass(frozen=True)
class Enrolment:
    """One enrolled photo: ``chip`` the 128×128 chip as PNG, ``vector`` float32 (D,), ``recognizer`` the digest it belongs to."""

    identity: int
    name: str
    photo: str
    chip: bytes
    vector: NDArray[np.float32]
    recognizer: str
    quality: float
    face_px: float


@dataclass(frozen=True)
class Alert:
    """What somebody is told at once: ``kind`` is ``match`` or ``withdrawn``, ``key`` the same however often it is sent, ``at``
    Unix time, ``content`` JSON."""

    key: str
    kind: str
    at: float
    source: str
    track: str
    identity: int
    content: str


class Store:
    """Opens (and makes, unless ``must_exist``) a database. Raises StoreError if the file is none, or of a newer version."""

    def __init__(self, path: Path, must_exist: bool = False) -> None:
        if must_exist and not path.is_file():
            raise StoreError(f"{path}: no such database")
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA foreign_keys=ON")
            self._migrate()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path}: not usable as a database ({error})") from None

    def _migrate(self) -> None:
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise StoreError(f"{self.path}: written by a newer version (schema {found}, this one knows {VERSION})")
        if found == VERSION:
            return
        with self.transaction():
            found = self._db.execute("PRAGMA user_version").fetchone()[0]  # another process may have been quicker
            for script in MIGRATIONS[found:]:
                for statement in script.split(";\n"):
                    if statement.strip():
                        self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; waits for another writer."""
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

    # --- identities

    def add_identity(self, name: str, **details: str | None) -> int:
        """The id of the person of this name, made if need be; given details replace kept ones."""
        row = self._db.execute("SELECT id FROM identities WHERE name = ? AND removed IS NULL", (name,)).fetchone()
        if row is None:
            made = self._db.execute("INSERT INTO identities (name, created) VALUES (?, ?)", (name, time.time()))
            found = int(made.lastrowid or 0)
        else:
            found = int(row["id"])
        for key in ("external_id", "purpose", "authority", "expires"):
            if details.get(key):
                self._db.execute(f"UPDATE identities SET {key} = ? WHERE id = ?", (details[key], found))
        return found

    def add_enrolment(
        self,
        identity: int,
        photo: str,
        sha256: str,
        chip: bytes,
        vector: NDArray[np.float32],
        recognizer: str,
        quality: float,
        face_px: float,
    ) -> None:
        """Keep one photo's chip and vector; the same photo again replaces itself."""
        self._db.execute(
            "INSERT OR REPLACE INTO enrolments (identity, photo, sha256, chip, vector, recognizer, quality, face_px, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (identity, photo, sha256, chip, vector.astype(np.float32).tobytes(), recognizer, quality, face_px, time.time()),
        )

    def remove_identity(self, identity: int) -> bool:
        """Take a person off the list: vectors and chips are deleted, the id is never used again."""
        with self.transaction():
            self._db.execute("DELETE FROM enrolments WHERE identity = ?", (identity,))
            done = self._db.execute("UPDATE identities SET removed = ? WHERE id = ? AND removed IS NULL", (time.time(), identity))
        return done.rowcount > 0

    def identities(self) -> list[Identity]:
        rows = self._db.execute(
            "SELECT i.*, COUNT(e.id) AS photos FROM identities i LEFT JOIN enrolments e ON e.identity = i.id "
            "WHERE i.removed IS NULL GROUP BY i.id ORDER BY i.id"
        )
        keys = ("id", "name", "external_id", "purpose", "authority", "expires", "photos")
        return [Identity(*(row[key] for key in keys)) for row in rows]

    def enrolments(self) -> list[Enrolment]:
        """Every enrolled photo of the people on the list whose entry has not expired."""
        rows = self._db.execute(
            "SELECT e.*, i.name FROM enrolments e JOIN identities i ON i.id = e.identity "
            "WHERE i.removed IS NULL AND (i.expires IS NULL OR i.expires >= date('now')) ORDER BY e.id"
        )
        return [
            Enrolment(
                r["identity"],
                r["name"],
                r["photo"],
                r["chip"],
                np.frombuffer(r["vector"], np.float32),
                r["recognizer"],
                r["quality"],
                r["face_px"],
            )
            for r in rows
        ]

    def copy_watchlist(self, other: Store) -> None:
        """Replace this database's watchlist by another's, ids and all: the record of who was looked for in this run."""
        with self.transaction():
            self._db.execute("DELETE FROM enrolments")
            self._db.execute("DELETE FROM identities")
            for table in ("identities", "enrolments"):
                for row in other._db.execute(f"SELECT * FROM {table}"):
                    marks = ", ".join("?" * len(row))
                    self._db.execute(f"INSERT INTO {table} VALUES ({marks})", tuple(row))

    # --- tracks

    def put_tracks(self, rows: list[dict[str, Any]]) -> None:
        """Write tracks, each with what was decided of it. The same track again overwrites itself unless it is older."""
        columns, marks = ", ".join(TRACK_COLUMNS), ", ".join(f":{c}" for c in TRACK_COLUMNS)
        updates = ", ".join(f"{c} = excluded.{c}" for c in TRACK_COLUMNS)
        with self.transaction():
            self._db.executemany(
                f"INSERT INTO tracks ({columns}) VALUES ({marks}) ON CONFLICT (source, track) DO UPDATE SET {updates} "
                "WHERE excluded.version >= tracks.version",
                rows,
            )

    def tracks(
        self, source: str | None = None, final_only: bool = True, started_after: float | None = None
    ) -> list[dict[str, Any]]:
        """Tracks as dictionaries of their columns, by source and time; ``reasons`` and ``best_box`` decoded.

        ``started_after`` is Unix time, and leaves out those whose hour is not known.
        """
        where = ["final = 1"] if final_only else []
        if source is not None:
            where.append("source = :source")
        if started_after is not None:
            where.append("started_at >= :started_after")
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        given = {"source": source, "started_after": started_after}
        rows = [dict(r) for r in self._db.execute(f"SELECT * FROM tracks {clause} ORDER BY source, start_s, track", given)]
        for row in rows:
            row["reasons"] = json.loads(row["reasons"])
            row["best_box"] = json.loads(row["best_box"]) if row["best_box"] else None
        return rows

    def is_final(self, source: str, track: str) -> bool:
        row = self._db.execute("SELECT final FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        return row is not None and bool(row["final"])

    def forget_tracks(self, source: str, after_s: float | None) -> None:
        """Delete a source's tracks that end after a checkpoint (all of them with None): they will be made again."""
        self._db.execute("DELETE FROM tracks WHERE source = ? AND (? IS NULL OR end_s > ?)", (source, after_s, after_s))

    def templates(self) -> tuple[list[dict[str, Any]], NDArray[np.float32], set[str]]:
        """All final tracks that have a template, their vectors float32 (N, D), and the recognisers' digests."""
        rows = [row for row in self.tracks() if row["template"] is not None]
        vectors = [np.frombuffer(row["template"], np.float16).astype(np.float32) for row in rows]
        return rows, np.stack(vectors) if vectors else np.zeros((0, 1), np.float32), {row["recognizer"] for row in rows}

    def finish_abandoned(self) -> int:
        """Make the last report of every unfinished track its final one: whoever followed it is gone. Returns how many."""
        done = self._db.execute("UPDATE tracks SET final = 1 WHERE final = 0")
        return done.rowcount

    # --- alerts

    def put_alerts(self, alerts: list[Alert], sinks: list[str]) -> int:
        """Keep alerts, each to be delivered to every sink; those kept before are left alone. Returns how many were new."""
        new = 0
        with self.transaction():
            for alert in alerts:
                done = self._db.execute(
                    "INSERT OR IGNORE INTO alerts (key, kind, at, source, track, identity, content) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (alert.key, alert.kind, alert.at, alert.source, alert.track, alert.identity, alert.content),
                )
                if done.rowcount:
                    new += 1
                    self._db.executemany("INSERT INTO undelivered VALUES (?, ?)", [(sink, alert.key) for sink in sinks])
        return new

    def last_alert(self, source: str, *, track: str | None = None, identity: int | None = None) -> Alert | None:
        """The newest alert of a track, or the newest match of an identity at a source."""
        what = "track = ?" if track is not None else "kind = 'match' AND identity = ?"
        row = self._db.execute(
            f"SELECT * FROM alerts WHERE source = ? AND {what} ORDER BY at DESC, rowid DESC LIMIT 1",
            (source, track if track is not None else identity),
        ).fetchone()
        return None if row is None else Alert(**dict(row))

    def undelivered(self, sink: str, most: int = 100) -> list[Alert]:
        """What a sink has not had yet, oldest first."""
        rows = self._db.execute(
            "SELECT a.* FROM undelivered u JOIN alerts a ON a.key = u.alert WHERE u.sink = ? ORDER BY a.rowid LIMIT ?",
            (sink, most),
        )
        return [Alert(**dict(row)) for row in rows]

    def delivered(self, sink: str, key: str) -> None:
        self._db.execute("DELETE FROM undelivered WHERE sink = ? AND alert = ?", (sink, key))

    # --- audit

    def note(self, what: str, **detail: Any) -> None:
        """Append to the audit log: what was done, when, with what."""
        self._db.execute("INSERT INTO audit (at, what, detail) VALUES (?, ?, ?)", (time.time(), what, json.dumps(detail)))
