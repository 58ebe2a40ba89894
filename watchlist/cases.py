"""Cases: collections of tracks of any people and sources, with notes."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass

from watchlist.database import Database, StoreError
from watchlist.names import normalised_name

MAX_NOTE = 20_000  # characters
MAX_TRACKS = 10_000  # per case
COUNT = (
    "(SELECT COUNT(*) FROM case_tracks m WHERE m.case_id = c.id AND "
    "(:sources IS NULL OR m.source IN (SELECT value FROM json_each(:sources))))"
)


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        id: never reused.
        name, note: free text.
        created: Unix time.
        user: who opened it.
        closed: Unix time since which the case accepts no changes of its tracks; None: open.
        tracks: number of tracks in it.
    """

    id: int
    name: str
    note: str
    created: float
    user: str
    closed: float | None
    tracks: int


@dataclass(frozen=True)
class CaseTrack:
    """A track of a case.

    Attributes:
        source, track: the track.
        note: free text on the track.
        user: who added it.
        at: Unix time at which it was added.
    """

    source: str
    track: str
    note: str
    user: str
    at: float


class Cases(Database):
    """The tables of the cases. Ids are never reused."""

    def add_case(self, name: str, note: str = "") -> int:
        """Open a case.

        Returns:
            Its id.

        Raises:
            StoreError: the name is unusable, or the note has more than `MAX_NOTE` characters.
        """
        name, note = _name(name), _note(note)
        with self.transaction():
            made = self._db.execute(
                "INSERT INTO cases (name, note, created, user) VALUES (?, ?, ?, ?)", (name, note, time.time(), self.user)
            )
            number = int(made.lastrowid or 0)
            self.log_audit("case opened", case=number)
        return number

    def cases(self, limit: int = -1, before: int | None = None, sources: tuple[str, ...] | None = None) -> list[Case]:
        """List cases, newest first.

        Args:
            limit: largest number of cases; -1: all.
            before: only ids below this one, for the next page; None: from the newest on.
            sources: count only tracks of these sources; None: of all.
        """
        rows = self._db.execute(
            f"SELECT c.*, {COUNT} AS tracks FROM cases c WHERE :before IS NULL OR c.id < :before ORDER BY c.id DESC LIMIT :most",
            {"before": before, "most": limit, "sources": None if sources is None else json.dumps(sources)},
        )
        return [_case(row) for row in rows]

    def case(self, number: int, sources: tuple[str, ...] | None = None) -> Case | None:
        """One case by id, None if there is none. With ``sources`` only tracks of these sources are counted."""
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
        """The cases that contain a track, newest first. Their ``tracks`` are not counted (0)."""
        rows = self._db.execute(
            "SELECT c.*, 0 AS tracks FROM cases c JOIN case_tracks m ON m.case_id = c.id WHERE m.source = ? AND m.track = ? "
            "ORDER BY c.id DESC",
            (source, track),
        )
        return [_case(row) for row in rows]

    def add_to_case(self, number: int, tracks: list[tuple[str, str]], note: str = "") -> int:
        """Add tracks to an open case. Unknown tracks and tracks already in it are left out.

        Args:
            number: id of the case.
            tracks: source and name of each track.
            note: free text, stored with each new track.

        Returns:
            Number of new tracks.

        Raises:
            StoreError: no such case, the case is closed, it would exceed `MAX_TRACKS`, or the note is too long.
        """
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
        """Remove a track from an open case. Returns whether the case contained it. Raises StoreError as `add_to_case`."""
        with self.transaction():
            self._open_case(number)
            done = self._db.execute(
                "DELETE FROM case_tracks WHERE case_id = ? AND source = ? AND track = ?", (number, source, track)
            )
            if done.rowcount:
                self.log_audit("case track removed", case=number)
        return bool(done.rowcount)

    def set_track_note(self, number: int, source: str, track: str, note: str) -> None:
        """Replace the note on a track of an open case. Raises StoreError as `add_to_case`."""
        with self.transaction():
            self._open_case(number)
            self._db.execute(
                "UPDATE case_tracks SET note = ? WHERE case_id = ? AND source = ? AND track = ?",
                (_note(note), number, source, track),
            )
            self.log_audit("case note changed", case=number)

    def change_case(self, number: int, name: str | None = None, note: str | None = None, closed: bool | None = None) -> None:
        """Change a case.

        Args:
            number: id of the case.
            name, note: new texts; None: unchanged.
            closed: True closes the case, False opens it again; None: unchanged.

        Raises:
            StoreError: no such case, an unusable name, or too long a note.
        """
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
        """Delete a case with its notes. The tracks themselves stay. Returns whether there was such a case."""
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
