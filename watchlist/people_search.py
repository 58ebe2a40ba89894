"""Search the list by name, and read what the console shows about each person."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from watchlist.database import Database

STATES = ("looked for", "disabled", "expired", "no photo")
NAMING = ("looks_like", "ambiguous_name")  # refusal reasons that contain names of other people
PHOTOS = "(SELECT COUNT(*) FROM enrolments e WHERE e.identity = i.id AND e.set_aside IS NULL)"
STATE = (
    "CASE WHEN i.set_aside IS NOT NULL THEN 'disabled' WHEN i.expires < date('now', 'localtime') THEN 'expired' "
    f"WHEN {PHOTOS} = 0 THEN 'no photo' ELSE 'looked for' END"
)


@dataclass(frozen=True)
class ListedPerson:
    """A row of the console's list of people.

    Attributes:
        id: of the person.
        name: in Unicode form NFC.
        external_id: free text; None if not given.
        expires: last ISO date on which the person is matched; None: never expires.
        photos: number of enabled photos.
        state: one of `STATES`.
    """

    id: int
    name: str
    external_id: str | None
    expires: str | None
    photos: int
    state: str


@dataclass(frozen=True)
class Refusal:
    """A refused photo.

    Attributes:
        photo: file name.
        reason: of the enrolment gate, without names of other people.
        at: Unix time.
    """

    photo: str
    reason: str
    at: float


class PeopleSearch(Database):
    """Reads the list page by page, and stores the reasons of refused photos."""

    def find_people(self, text: str = "", limit: int = 60, after: int = 0, state: str | None = None) -> list[ListedPerson]:
        """Find people whose name or external id contains a text, regardless of case.

        Args:
            text: the text; "": everybody.
            limit: largest number of people.
            after: only ids above this one.
            state: only people in this one of `STATES`; None: all.

        Returns:
            The people, by id.
        """
        self._db.create_function("casefold", 1, _casefold, deterministic=True)
        holds = "" if not text else "AND (instr(casefold(i.name), :text) OR instr(casefold(i.external_id), :text))"
        like = "" if state is None else f"AND {STATE} = :state"
        rows = self._db.execute(
            f"SELECT i.id, i.name, i.external_id, i.expires, {PHOTOS}, {STATE} FROM identities i "
            f"WHERE i.removed IS NULL AND i.id > :after {holds} {like} ORDER BY i.id LIMIT :most",
            {"after": after, "text": normalize("NFC", text).casefold(), "most": limit, "state": state},
        )
        return [ListedPerson(*row) for row in rows]

    def count_people(self) -> int:
        """Number of people on the list, active or not."""
        return int(self._db.execute("SELECT COUNT(*) FROM identities WHERE removed IS NULL").fetchone()[0])

    def identity_version(self, identity: int) -> int:
        """A number that grows with every change of a person's entry, to detect conflicting edits; 0: no such person."""
        row = self._db.execute("SELECT version FROM identities WHERE id = ?", (identity,)).fetchone()
        return 0 if row is None else int(row[0])

    def put_refusals(self, identity: int, judged: list[tuple[str, str]]) -> None:
        """Store the reasons of a person's refused photos. Names of other people are cut off.

        Args:
            identity: id of the person.
            judged: file name and reason of each photo. The reason "" (enrolled) deletes an earlier refusal of the same file.
        """
        with self.transaction():
            for photo, reason in judged:
                self._db.execute("DELETE FROM refusals WHERE identity = ? AND photo = ?", (identity, photo))
                if reason:
                    kept = reason if not reason.startswith(NAMING) else reason.partition(":")[0]
                    self._db.execute(
                        "INSERT INTO refusals VALUES (?, ?, ?, ?)", (identity, photo, kept.partition(", see ")[0], time.time())
                    )

    def refusals(self, identity: int) -> list[Refusal]:
        """Refused photos of a person, newest first."""
        rows = self._db.execute("SELECT photo, reason, at FROM refusals WHERE identity = ? ORDER BY at DESC", (identity,))
        return [Refusal(*row) for row in rows]

    def photo_ids(self, identity: int) -> list[int]:
        """Ids of a person's enrolled photos, enabled ones first."""
        rows = self._db.execute("SELECT id FROM enrolments WHERE identity = ? ORDER BY set_aside IS NOT NULL, id", (identity,))
        return [int(row[0]) for row in rows]

    def photo_chip(self, identity: int, photo: int) -> bytes | None:
        """The chip of one photo of a person, as PNG; None if there is none."""
        row = self._db.execute("SELECT chip FROM enrolments WHERE identity = ? AND id = ?", (identity, photo)).fetchone()
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def person_days(self, identity: int, step_s: float, sources: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
        """Group the tracks that matched a person by source and time step, for a timeline.

        Tracks without a time of day are left out.

        Args:
            identity: id of the person.
            step_s: length of a time step in seconds.
            sources: only these sources; None: all.

        Returns:
            Dictionaries with ``source``, ``tracks`` (their number), ``first`` and ``last`` (Unix times), by source and time.
        """
        seen = "" if sources is None else "AND source IN (SELECT value FROM json_each(:sources))"
        rows = self._db.execute(
            "SELECT source, COUNT(*) AS tracks, MIN(started_at) AS first, MAX(ended_at) AS last FROM tracks "
            f"WHERE identity = :identity AND started_at IS NOT NULL AND outcome = 'match' {seen} "
            "GROUP BY source, CAST(started_at / :step AS INTEGER) ORDER BY source, first",
            {"identity": identity, "step": step_s, "sources": None if sources is None else json.dumps(sources)},
        )
        return [dict(row) for row in rows]


def _casefold(text: object) -> str:
    return text.casefold() if isinstance(text, str) else ""
