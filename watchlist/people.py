"""People on the watchlist: their rows, and which of them are active."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from watchlist.enrolled_photos import ACTIVE, EnrolledPhotos, Enrolment
from watchlist.identities import DETAIL_FIELDS, removed_name
from watchlist.list_copy import ListCopy
from watchlist.sqlite_connection import damaged_error
from watchlist.stored_thresholds import StoredThresholds

__all__ = ["Enrolment", "Identity", "People", "removed_name"]


@dataclass(frozen=True)
class Identity:
    """A person on the watchlist.

    Attributes:
        id: never reused.
        name: in Unicode form NFC.
        external_id, purpose, authority: free text; None if not given.
        expires: last ISO date on which the person is matched; None: never expires.
        photos: number of enabled photos.
        set_aside: Unix time since which the person is disabled; None: enabled.
    """

    id: int
    name: str
    external_id: str | None
    purpose: str | None
    authority: str | None
    expires: str | None
    photos: int
    set_aside: float | None = None


class People(ListCopy, EnrolledPhotos, StoredThresholds):
    """The watchlist's tables, and the thresholds fitted for it. Ids are never reused."""

    def set_enabled(self, identity: int, enabled: bool, photo: int | None = None) -> bool:
        """Enable or disable a person or one photo. A disabled person stays on the list and is not matched.

        Args:
            identity: id of the person.
            enabled: the new state.
            photo: id of one of the person's photos; None: the person.

        Returns:
            Whether anything changed.
        """
        at = None if enabled else time.time()
        change = "SET set_aside = ? WHERE (set_aside IS NULL) = ? AND"
        if photo is None:
            done = self._db.execute(f"UPDATE identities {change} removed IS NULL AND id = ?", (at, not enabled, identity))
        else:
            done = self._db.execute(f"UPDATE enrolments {change} identity = ? AND id = ?", (at, not enabled, identity, photo))
        return bool(done.rowcount > 0)

    def identities(self, limit: int = -1, after: int = 0) -> list[Identity]:
        """People on the list, by id.

        Args:
            limit: largest number of people; -1: all.
            after: only ids above this one.

        Raises:
            StoreError: a row is damaged.
        """
        rows = self._db.execute(
            "SELECT i.*, (SELECT COUNT(*) FROM enrolments e WHERE e.identity = i.id AND e.set_aside IS NULL) AS photos "
            "FROM identities i WHERE i.removed IS NULL AND i.id > ? ORDER BY i.id LIMIT ?",
            (after, limit),
        )
        return [_identity(row, self.path) for row in rows]

    def identity(self, identity: int) -> Identity | None:
        """One person by id; None if nobody on the list has it. Raises StoreError for a damaged row."""
        row = self._db.execute(
            "SELECT i.*, (SELECT COUNT(*) FROM enrolments e WHERE e.identity = i.id AND e.set_aside IS NULL) AS photos "
            "FROM identities i WHERE i.removed IS NULL AND i.id = ?",
            (identity,),
        ).fetchone()
        return None if row is None else _identity(row, self.path)

    def names(self) -> dict[int, str]:
        """Names of all people on the list, by id."""
        return {int(row[0]): str(row[1]) for row in self._db.execute("SELECT id, name FROM identities WHERE removed IS NULL")}

    def inactive_names(self) -> list[str]:
        """Names of people on the list who are not matched: disabled, expired, or without an enabled photo."""
        rows = self._db.execute(
            "SELECT name FROM identities WHERE removed IS NULL AND id NOT IN "
            f"(SELECT e.identity FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE}) ORDER BY id"
        )
        return [str(row[0]) for row in rows]

    def active_people(self, most: int) -> tuple[int, list[str]]:
        """Number of active people, and the names of the first ``most`` of them."""
        among = f"FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE}"
        count = int(self._db.execute(f"SELECT COUNT(DISTINCT e.identity) {among}").fetchone()[0])
        names = self._db.execute(
            f"SELECT name FROM identities WHERE id IN (SELECT e.identity {among}) ORDER BY id LIMIT ?", (most,)
        )
        return count, [str(row[0]) for row in names]

    def list_version(self) -> tuple[int, str]:
        """A key that changes whenever the active photos may change: a counter of edits, and today's date, for expiry."""
        return self.counter("watchlist"), str(self._db.execute("SELECT date('now', 'localtime')").fetchone()[0])

    def text_in_use(self, text: str) -> bool:
        """Whether a person's name or details, or the file name of a photo, contain this text."""
        texts = " OR ".join(f"instr({key}, :text)" for key in ("name", *DETAIL_FIELDS))
        row = self._db.execute(
            f"SELECT 1 FROM identities WHERE {texts} UNION ALL SELECT 1 FROM enrolments WHERE instr(photo, :text) LIMIT 1",
            {"text": text},
        ).fetchone()
        return row is not None


def _identity(row: sqlite3.Row, path: Path) -> Identity:
    for key in ("name", *DETAIL_FIELDS):
        if not isinstance(row[key], str) and (key == "name" or row[key] is not None):
            raise damaged_error(path, f"{key} of the person {row['id']}")
    if row["set_aside"] is not None and not isinstance(row["set_aside"], (int, float)):
        raise damaged_error(path, f"set_aside of the person {row['id']}")
    keys = ("id", "name", "external_id", "purpose", "authority", "expires", "photos", "set_aside")
    return Identity(*(row[key] for key in keys))
