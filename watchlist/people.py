"""People on the watchlist, their enrolled photos, and their calibrated thresholds."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.identities import DETAIL_FIELDS, Identities
from watchlist.row_checks import checked_embedding, stack_embeddings
from watchlist.sqlite_connection import damaged_error
from watchlist.thresholds import Thresholds

ACTIVE = (
    "i.removed IS NULL AND i.set_aside IS NULL AND e.set_aside IS NULL "
    "AND (i.expires IS NULL OR i.expires >= date('now', 'localtime'))"
)


@dataclass(frozen=True)
class Identity:
    """A person on the watchlist; ``photos`` counts those looked for, ``set_aside`` is since when they are not (Unix time)."""

    id: int
    name: str
    external_id: str | None
    purpose: str | None
    authority: str | None
    expires: str | None
    photos: int
    set_aside: float | None = None


@dataclass(frozen=True)
class Enrolment:
    """One enrolled photo: ``chip`` the 128×128 chip as PNG, ``vector`` float32 (D,), ``recognizer`` the digest it belongs to."""

    id: int
    identity: int
    name: str
    photo: str
    chip: bytes
    vector: NDArray[np.float32]
    recognizer: str
    quality: float
    face_px: float
    set_aside: float | None = None


class People(Identities):
    """The watchlist's tables, and the thresholds fitted for it. Ids are never used again."""

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
        """Keep one photo's chip and vector; the same photo again replaces itself, and stays set aside if it was."""
        columns = ("photo", "chip", "vector", "recognizer", "quality", "face_px", "created")
        self._db.execute(
            "INSERT INTO enrolments (identity, photo, sha256, chip, vector, recognizer, quality, face_px, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (identity, sha256) DO UPDATE SET "
            + ", ".join(f"{c} = excluded.{c}" for c in columns),
            (identity, photo, sha256, chip, vector.astype(np.float32).tobytes(), recognizer, quality, face_px, time.time()),
        )

    def remove_identity(self, identity: int) -> bool:
        """Take a person off the list: photos' chips and embeddings, name and details are deleted, also from tracks and alerts
        that named them, which keep the id. The id is never used again. See `watchlist.removal` for the files beside it."""
        with self.transaction():
            row = self._db.execute("SELECT name FROM identities WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
            if row is None:
                return False
            self._db.execute("DELETE FROM enrolments WHERE identity = ?", (identity,))
            self.erase_details(identity)
            self._unname(identity, str(row["name"]))
        return True

    def _unname(self, identity: int, name: str) -> None:
        """Take the name of somebody who was removed off what was decided of tracks."""
        label = removed_name(identity)
        self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")
        self._db.execute("UPDATE tracks SET name = ? WHERE identity = ?", (label, identity))
        self._db.execute("UPDATE tracks SET nearest = ? WHERE nearest = ?", (label, name))
        self._db.execute(
            "UPDATE alerts SET content = json_set(content, '$.name', ?) WHERE identity = ? AND json_valid(content)",
            (label, identity),
        )

    def text_in_use(self, text: str) -> bool:
        """Whether what is kept of the people on the list, or a photo's name, holds this text."""
        texts = " OR ".join(f"instr({key}, :text)" for key in ("name", *DETAIL_FIELDS))
        row = self._db.execute(
            f"SELECT 1 FROM identities WHERE {texts} UNION ALL SELECT 1 FROM enrolments WHERE instr(photo, :text) LIMIT 1",
            {"text": text},
        ).fetchone()
        return row is not None

    def chip_in_use(self, photo: Enrolment) -> bool:
        """Whether another enrolled photo has the same chip or embedding: one photo may be enrolled for two people."""
        row = self._db.execute(
            "SELECT 1 FROM enrolments WHERE id <> ? AND (chip = ? OR vector = ?) LIMIT 1",
            (photo.id, photo.chip, photo.vector.astype(np.float32).tobytes()),
        ).fetchone()
        return row is not None

    def set_enabled(self, identity: int, enabled: bool, photo: int | None = None) -> bool:
        """Enable or disable a person, or one photo of theirs by its id. Whoever is disabled stays on the list but is not matched.

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
        """Everybody on the list, in the order of their ids; up to ``limit`` of those behind the id ``after``."""
        rows = self._db.execute(
            "SELECT i.*, (SELECT COUNT(*) FROM enrolments e WHERE e.identity = i.id AND e.set_aside IS NULL) AS photos "
            "FROM identities i WHERE i.removed IS NULL AND i.id > ? ORDER BY i.id LIMIT ?",
            (after, limit),
        )
        return [_identity(row, self.path) for row in rows]

    def identity(self, identity: int) -> Identity | None:
        """One person on the list, by id."""
        row = self._db.execute(
            "SELECT i.*, (SELECT COUNT(*) FROM enrolments e WHERE e.identity = i.id AND e.set_aside IS NULL) AS photos "
            "FROM identities i WHERE i.removed IS NULL AND i.id = ?",
            (identity,),
        ).fetchone()
        return None if row is None else _identity(row, self.path)

    def enrolments(self, identity: int | None = None) -> list[Enrolment]:
        """Every enrolled photo that is looked for: not set aside, of people on the list whose entry has not expired. With
        ``identity`` all photos of that one person, whatever their state. Raises StoreError for a damaged row."""
        rows = self._db.execute(
            "SELECT e.*, i.name FROM enrolments e JOIN identities i ON i.id = e.identity "
            f"WHERE {ACTIVE if identity is None else 'i.removed IS NULL AND i.id = :identity'} ORDER BY e.id",
            {"identity": identity},
        )
        return [
            Enrolment(
                r["id"],
                r["identity"],
                str(r["name"]),
                str(r["photo"]),
                bytes(r["chip"]) if isinstance(r["chip"], bytes) else b"",
                checked_embedding(r["vector"], np.float32, self.path, f"the photo {r['id']}"),
                str(r["recognizer"]),
                self._number(r, "quality"),
                self._number(r, "face_px"),
                None if r["set_aside"] is None else self._number(r, "set_aside"),
            )
            for r in rows
        ]

    def _number(self, row: sqlite3.Row, key: str) -> float:
        if not isinstance(row[key], (int, float)):
            raise damaged_error(self.path, f"{key} of the photo {row['id']}")
        return float(row[key])

    def first_photo(self, identity: int) -> tuple[int, bytes] | None:
        """Id and chip (PNG) of a person's first photo, if there is one."""
        row = self._db.execute("SELECT id, chip FROM enrolments WHERE identity = ? ORDER BY id LIMIT 1", (identity,)).fetchone()
        return None if row is None or not isinstance(row["chip"], bytes) else (int(row["id"]), row["chip"])

    def active_photos(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids (N,) of the photos `enrolments` gives, and the identity of each, without loading them."""
        rows = self._db.execute(
            f"SELECT e.id, e.identity FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE} ORDER BY e.id"
        ).fetchall()
        table = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def photo_embeddings(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Vectors float32 (N, D) of photos by their ids, in that order."""
        asked = json.dumps([int(row) for row in rows])
        found = dict(
            tuple(row)
            for row in self._db.execute(
                "SELECT id, vector FROM enrolments WHERE id IN (SELECT value FROM json_each(?))", (asked,)
            )
        )
        each = [checked_embedding(found.get(int(row)), np.float32, self.path, f"the photo {row}") for row in rows]
        return stack_embeddings(each, self.path, "enrolled photos")

    def names(self) -> dict[int, str]:
        """Everybody's name by identity."""
        return {int(row[0]): str(row[1]) for row in self._db.execute("SELECT id, name FROM identities WHERE removed IS NULL")}

    def recognizers_enrolled(self) -> set[str]:
        """Digests of the recognisers that made the vectors of those looked for."""
        rows = self._db.execute(
            f"SELECT DISTINCT e.recognizer FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE}"
        )
        return {str(row[0]) for row in rows}

    def reembed_count(self) -> int:
        """Grows whenever vectors of photos that were there before have changed."""
        return self.counter("reembedded")

    def calibration(self, recognizer: str) -> list[dict[str, Any]] | None:
        """Impostor scores fitted to the user's own footage, as a recogniser's card has them; None where the card's hold."""
        row = self._db.execute("SELECT impostors FROM calibrations WHERE recognizer = ?", (recognizer,)).fetchone()
        if row is None:
            return None
        try:
            impostors = json.loads(row["impostors"])
            Thresholds(impostors).cosine(0.01, 100, 20.0)
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError):
            raise damaged_error(
                self.path, "its calibration; `watchlist calibrate --reset` goes back to the recogniser's own"
            ) from None
        return list(impostors)

    def thresholds(self, card: dict[str, Any]) -> Thresholds:
        """Those fitted to the user's own footage, or those of a recogniser's card."""
        return Thresholds(self.calibration(card["sha256"]) or card["impostors"])

    def put_calibration(self, recognizer: str, impostors: list[dict[str, Any]] | None, tracks: int = 0) -> None:
        """Keep such scores, or with None go back to the card's."""
        self._db.execute("DELETE FROM calibrations WHERE recognizer = ?", (recognizer,))
        if impostors is not None:
            self._db.execute(
                "INSERT INTO calibrations VALUES (?, ?, ?, ?)", (recognizer, time.time(), tracks, json.dumps(impostors))
            )

    def list_version(self) -> tuple[int, str]:
        """Changes whenever `enrolments` may: a count of the list's changes, and the day, on which entries expire."""
        return self.counter("watchlist"), str(self._db.execute("SELECT date('now', 'localtime')").fetchone()[0])

    def inactive_names(self) -> list[str]:
        """Names of those on the list whom nobody looks for: set aside, expired, or without a photo."""
        rows = self._db.execute(
            "SELECT name FROM identities WHERE removed IS NULL AND id NOT IN "
            f"(SELECT e.identity FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE}) ORDER BY id"
        )
        return [str(row[0]) for row in rows]

    def active_people(self, most: int) -> tuple[int, list[str]]:
        """How many people are looked for, and the names of up to ``most`` of them."""
        among = f"FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE}"
        count = int(self._db.execute(f"SELECT COUNT(DISTINCT e.identity) {among}").fetchone()[0])
        names = self._db.execute(
            f"SELECT name FROM identities WHERE id IN (SELECT e.identity {among}) ORDER BY id LIMIT ?", (most,)
        )
        return count, [str(row[0]) for row in names]

    def copied_from(self) -> str | None:
        """The database whose list this one follows; None where it keeps a list of its own."""
        found = self._db.execute("SELECT copied_from FROM generation").fetchone()[0]
        return None if found is None else str(found)

    def detach_list(self) -> None:
        """From now on the list is changed here."""
        self._db.execute("UPDATE generation SET copied_from = NULL WHERE copied_from IS NOT NULL")

    def photo_chips(self) -> list[tuple[int, bytes]]:
        """Id and 128×128 PNG of every kept photo, for another recogniser."""
        rows = self._db.execute(
            "SELECT e.id, e.chip FROM enrolments e JOIN identities i ON i.id = e.identity WHERE i.removed IS NULL ORDER BY e.id"
        )
        return [(int(row["id"]), bytes(row["chip"])) for row in rows]

    def put_embeddings(self, vectors: dict[int, tuple[NDArray[np.float32], float]], recognizer: str) -> None:
        """Replace vectors and qualities by enrolment id: all of them, or none."""
        with self.transaction():
            self._db.executemany(
                "UPDATE enrolments SET vector = ?, quality = ?, recognizer = ? WHERE id = ?",
                [(v.astype(np.float32).tobytes(), quality, recognizer, row) for row, (v, quality) in vectors.items()],
            )

    def copy_watchlist(self, other: People) -> None:
        """Make this database's watchlist equal to another's, ids and all: the record of who was looked for in this run. Only what
        differs is written. Tracks that matched somebody of a list with other ids keep the name and lose the id."""
        self._db.execute("ATTACH DATABASE ? AS other", (other.address,))
        try:
            with self.transaction():
                gone = self._db.execute(
                    "SELECT m.id, m.name FROM main.identities m JOIN other.identities o USING (id) "
                    "WHERE m.removed IS NULL AND o.removed IS NOT NULL AND m.created = o.created"
                ).fetchall()
                for row in gone:
                    self._unname(int(row[0]), str(row[1]))
                self._db.execute("PRAGMA defer_foreign_keys = ON")
                self._db.execute(  # replacing rows does not fire the trigger that counts this
                    "UPDATE generation SET reembedded = reembedded + 1 WHERE EXISTS "
                    "(SELECT 1 FROM main.enrolments m JOIN other.enrolments o USING (id) WHERE m.vector IS NOT o.vector)"
                )
                origin = str(other.path.resolve())
                self._db.execute("UPDATE generation SET copied_from = ? WHERE copied_from IS NOT ?", (origin, origin))
                # The same people, not others under the same ids.
                kept = "SELECT id FROM main.identities m JOIN other.identities o USING (id) WHERE m.created = o.created"
                if self._db.execute(f"SELECT 1 FROM main.identities WHERE id NOT IN ({kept}) LIMIT 1").fetchone():
                    self._db.execute(f"UPDATE tracks SET identity = NULL WHERE identity NOT IN ({kept})")
                for table, key in (("enrolments", "id"), ("identities", "id"), ("calibrations", "recognizer")):
                    names = [row["name"] for row in self._db.execute(f"PRAGMA main.table_info({table})")]
                    columns = ", ".join(names)
                    self._db.execute(f"DELETE FROM main.{table} WHERE {key} NOT IN (SELECT {key} FROM other.{table})")
                    same = " AND ".join(f"m.{name} IS o.{name}" for name in names if name not in ("chip", "vector"))
                    self._db.execute(
                        f"INSERT OR REPLACE INTO main.{table} ({columns}) SELECT {columns} FROM other.{table} o "
                        f"WHERE NOT EXISTS (SELECT 1 FROM main.{table} m WHERE m.{key} = o.{key} AND {same})"
                    )
        finally:
            self._db.execute("DETACH DATABASE other")


def removed_name(identity: int) -> str:
    """What stands in place of the name of somebody who was taken off the list."""
    return f"removed (ID {identity})"


def _identity(row: sqlite3.Row, path: Path) -> Identity:
    for key in ("name", *DETAIL_FIELDS):
        if not isinstance(row[key], str) and (key == "name" or row[key] is not None):
            raise damaged_error(path, f"{key} of the person {row['id']}")
    if row["set_aside"] is not None and not isinstance(row["set_aside"], (int, float)):
        raise damaged_error(path, f"set_aside of the person {row['id']}")
    keys = ("id", "name", "external_id", "purpose", "authority", "expires", "photos", "set_aside")
    return Identity(*(row[key] for key in keys))
