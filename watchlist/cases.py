"""Cases: tracks of several people and sources that belong together, with notes."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass

from watchlist.database import Database, StoreError
from watchlist.names import normalised_name

MAX_NOTE = 20_000
MAX_TRACKS = 10_000
COUNT = (
    "(SELECT COUNT(*) FROM case_tracks m WHERE m.case_id = c.id AND "
    "(:sources IS NULL OR m.source IN (SELECT value FROM json_each(:sources))))"
)


@dataclass(frozen=True)
class Case:
    """A case; ``tracks`` is how many it holds, ``closed`` since when nothing is added to it (Unix time)."""

    id: int
    name: str
    note: str
    created: float
    user: str
    closed: float | None
    tracks: int


@dataclass(frozen=True)
class CaseTrack:
    """A track of a case, the note on it, and who added it when."""

    source: str
    track: str
    note: str
    user: str
    at: float


class Cases(Database):
    """The tables of the cases. Ids are never used again."""

    def add_case(self, name: str, note: str = "") -> int:
        """Open a case. Raises StoreError for an unusable name or too long a note."""
        name, note = _name(name), _note(note)
        with self.transaction():
            made = self._db.execute(
                "INSERT INTO cases (name, note, created, user) VALUES (?, ?, ?, ?)", (name, note, time.time(), self.user)
            )
            number = int(made.lastrowid or 0)
            self.log_audit("case opened", case=number)
        return number

    def cases(self, limit: int = -1, before: int | None = None, sources: tuple[str, ...] | None = None) -> list[Case]:
        """Cases, the newest first; up to ``limit`` of those with an id below ``before``. Counted are tracks of all sources, or of
        ``sources`` alone."""
        rows = self._db.execute(
            f"SELECT c.*, {COUNT} AS tracks FROM cases c WHERE :before IS NULL OR c.id < :before ORDER BY c.id DESC LIMIT :most",
            {"before": before, "most": limit, "sources": None if sources is None else json.dumps(sources)},
        )
        return [_case(row) for row in rows]

    def case(self, number: int, sources: tuple[str, ...] | None = None) -> Case | None:
        """A case. Counted are tracks of all sources, or of ``sources`` alone."""
        row = self._db.execute(
            f"SELECT c.*, {COUNT} AS tracks FROM cases c WHERE c.id = :number",
            {"number": number, "sources": None if sources is None else json.dumps(sources)},
        ).fetchone()
        return None if row is None else _case(row)

    def case_tracks(self, number: int) -> list[CaseTrack]:
        """The tracks of a case, in the order they were added."""
        rows = self._db.execute(
            "SELECT source, track, note, user, at FROM case_tracks WHERE case_id = ? ORDER BY at, source, track", (number,)
        )
        return [CaseTrack(*row) for row in rows]

    def cases_of_track(self, source: str, track: str) -> list[Case]:
        """The cases that hold a track."""
        rows = self._db.execute(
            "SELECT c.*, 0 AS tracks FROM cases c JOIN case_tracks m ON m.case_id = c.id WHERE m.source = ? AND m.track = ? "
            "ORDER BY c.id DESC",
            (source, track),
        )
        return [_case(row) for row in rows]

    def add_to_case(self, number: int, tracks: list[tuple[str, str]], note: str = "") -> int:
        """Add tracks, by source and name. Returns how many were new. Raises StoreError: no such open case, or too many tracks."""
        note = _note(note)
        with self.transaction():
            case = self._open_case(number)
            if case.tracks + len(tracks) > MAX_TRACKS:
                raise StoreError(f"case {number}: would hold more than {MAX_TRACKS} tracks; open another one")
            new = 0
            for source, track in tracks:
                done = self._db.execute(
                    "INSERT OR IGNORE INTO case_tracks SELECT ?, source, track, ?, ?, ? FROM tracks "
                    "WHERE source = ? AND track = ?",
                    (number, note, self.user, time.time(), source, track),
                )
                new += done.rowcount
            self.log_audit("case tracks added", case=number, tracks=new)
        return new

    def remove_from_case(self, number: int, source: str, track: str) -> bool:
        """Take a track out of a case. Returns whether it was in it."""
        with self.transaction():
            self._open_case(number)
            done = self._db.execute(
                "DELETE FROM case_tracks WHERE case_id = ? AND source = ? AND track = ?", (number, source, track)
            )
            if done.rowcount:
                self.log_audit("case track removed", case=number)
        return bool(done.rowcount)

    def set_track_note(self, number: int, source: str, track: str, note: str) -> None:
        """Replace the note on a track of a case."""
        with self.transaction():
            self._open_case(number)
            self._db.execute(
                "UPDATE case_tracks SET note = ? WHERE case_id = ? AND source = ? AND track = ?",
                (_note(note), number, source, track),
            )
            self.log_audit("case note changed", case=number)

    def change_case(self, number: int, name: str | None = None, note: str | None = None, closed: bool | None = None) -> None:
        """Change name or note, close a case or open it again. Raises StoreError."""
        with self.transaction():
            if self.case(number) is None:
                raise StoreError(f"case {number}: there is none")
            if name is not None:
                self._db.execute("UPDATE cases SET name = ? WHERE id = ?", (_name(name), number))
            if note is not None:
                self._db.execute("UPDATE cases SET note = ? WHERE id = ?", (_note(note), number))
            if closed is not None:
                self._db.execute("UPDATE cases SET closed = ? WHERE id = ?", (time.time() if closed else None, number))
            self.log_audit("case changed", case=number, closed=closed)

    def remove_case(self, number: int) -> bool:
        """Delete a case with its notes; the tracks stay. Returns whether there was one."""
        with self.transaction():
            self._db.execute("DELETE FROM case_tracks WHERE case_id = ?", (number,))
            done = self._db.execute("DELETE FROM cases WHERE id = ?", (number,))
            if done.rowcount:
                self.log_audit("case deleted", case=number)
        return bool(done.rowcount)

    def _open_case(self, number: int) -> Case:
        case = self.case(number)
        if case is None:
            raise StoreError(f"case {number}: there is none")
        if case.closed is not None:
            raise StoreError(f"case {number}: is closed; open it again first")
        return case


def _name(name: str) -> str:
    try:
        return normalised_name(name)
    except ValueError as error:
        raise StoreError(f"the case's name {error}") from None


def _note(note: str) -> str:
    if len(note) > MAX_NOTE:
        raise StoreError(f"note: {len(note)} characters, at most {MAX_NOTE} are kept; shorten it")
    return note.replace("\r\n", "\n")


def _case(row: sqlite3.Row) -> Case:
    return Case(*(row[key] for key in ("id", "name", "note", "created", "user", "closed", "tracks")))
