"""Find people on the list by a part of a name, and what a page shows beside each."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any
from unicodedata import normalize

from watchlist.database import Database

STATES = ("looked for", "disabled", "expired", "no photo")
NAMING = ("looks_like", "ambiguous_name")  # reasons that name other people
PHOTOS = "(SELECT COUNT(*) FROM enrolments e WHERE e.identity = i.id AND e.set_aside IS NULL)"
STATE = (
    "CASE WHEN i.set_aside IS NOT NULL THEN 'disabled' WHEN i.expires < date('now', 'localtime') THEN 'expired' "
    f"WHEN {PHOTOS} = 0 THEN 'no photo' ELSE 'looked for' END"
)


@dataclass(frozen=True)
class ListedPerson:
    """A person as lists show them; ``photos`` counts those looked for, ``state`` is one of `STATES`."""

    id: int
    name: str
    external_id: str | None
    expires: str | None
    photos: int
    state: str


@dataclass(frozen=True)
class Refusal:
    """A photo of a person that was refused, why and when (Unix time)."""

    photo: str
    reason: str
    at: float


class PeopleSearch(Database):
    """Reads the list a page at a time, and keeps why photos were refused."""

    def find_people(self, text: str = "", limit: int = 60, after: int = 0, state: str | None = None) -> list[ListedPerson]:
        """Up to ``limit`` people behind the id ``after`` whose name or external id holds ``text``, in whatever case; by id."""
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
        """How many people are on the list, in whatever state."""
        return int(self._db.execute("SELECT COUNT(*) FROM identities WHERE removed IS NULL").fetchone()[0])

    def identity_version(self, identity: int) -> int:
        """Grows with every change of a person's entry, so that of two who change it at a time the second is told."""
        row = self._db.execute("SELECT version FROM identities WHERE id = ?", (identity,)).fetchone()
        return 0 if row is None else int(row[0])

    def put_refusals(self, identity: int, judged: list[tuple[str, str]]) -> None:
        """Keep why photos of a person were refused; "" for one that was enrolled, which forgets an earlier refusal. A reason that
        names another person loses the name."""
        with self.transaction():
            for photo, reason in judged:
                self._db.execute("DELETE FROM refusals WHERE identity = ? AND photo = ?", (identity, photo))
                if reason:
                    kept = reason if not reason.startswith(NAMING) else reason.partition(":")[0]
                    self._db.execute(
                        "INSERT INTO refusals VALUES (?, ?, ?, ?)", (identity, photo, kept.partition(", see ")[0], time.time())
                    )

    def refusals(self, identity: int) -> list[Refusal]:
        """Photos of a person that were refused, the newest first."""
        rows = self._db.execute("SELECT photo, reason, at FROM refusals WHERE identity = ? ORDER BY at DESC", (identity,))
        return [Refusal(*row) for row in rows]

    def photo_ids(self, identity: int) -> list[int]:
        """Ids of a person's enrolled photos, those that are looked for first."""
        rows = self._db.execute("SELECT id FROM enrolments WHERE identity = ? ORDER BY set_aside IS NOT NULL, id", (identity,))
        return [int(row[0]) for row in rows]

    def photo_chip(self, identity: int, photo: int) -> bytes | None:
        """The chip (PNG) of one photo of a person."""
        row = self._db.execute("SELECT chip FROM enrolments WHERE identity = ? AND id = ?", (identity, photo)).fetchone()
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def person_days(self, identity: int, step_s: float, sources: tuple[str, ...] | None = None) -> list[dict[str, Any]]:
        """When a person was seen, for a timeline: for each source and step of Unix time how many matched tracks (``tracks``), and
        from when to when (``first``, ``last``). Tracks whose hour is not known are left out."""
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
