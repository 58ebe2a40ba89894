"""Find, add, change, merge and remove people. A person is identified by external id, else by name."""

from __future__ import annotations

import time
import unicodedata

from watchlist.database import Database, StoreError

DETAIL_FIELDS = ("external_id", "purpose", "authority", "expires")


class AmbiguousName(StoreError):
    """Several people on the list have this name, and no external id says which one is meant."""


class Identities(Database):
    """The table of people. Ids are never reused."""

    def find_identity(self, name: str, external_id: str | None = None) -> int | None:
        """The id of a person on the list, by external id if one is given, else by name in any Unicode form.

        Returns:
            None if there is no such person.

        Raises:
            AmbiguousName: several people have the name. If exactly one of them has no external id, it is that one instead.
        """
        if external_id:
            query = "SELECT id FROM identities WHERE external_id = ? AND removed IS NULL ORDER BY id LIMIT 1"
            row = self._db.execute(query, (external_id,)).fetchone()
            return None if row is None else int(row["id"])
        forms = [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]
        query = "SELECT id, external_id FROM identities WHERE name IN (?, ?, ?) AND removed IS NULL ORDER BY id"
        rows = self._db.execute(query, (name, *forms)).fetchall()
        if len(rows) > 1:
            plain = [row for row in rows if not row["external_id"]]
            if len(plain) != 1:
                ids = ", ".join(f"ID {row['id']}" + (f" ({row['external_id']})" if row["external_id"] else "") for row in rows)
                raise AmbiguousName(f"{len(rows)} people are called {name}: {ids}")
            rows = plain
        return int(rows[0]["id"]) if rows else None

    def add_identity(self, name: str, identity: int | None = None, **details: str | None) -> int:
        """Add a person, or update the details of one who is on the list.

        Args:
            name: of the person.
            identity: id of a person on the list; None: `find_identity` decides.
            **details: external_id, purpose, authority, expires. Empty ones leave the stored value.

        Returns:
            The person's id.

        Raises:
            AmbiguousName: see `find_identity`.
        """
        if identity is None:
            identity = self.find_identity(name, details.get("external_id"))
        if identity is None:
            inserted = self._db.execute(
                "INSERT INTO identities (name, created) VALUES (?, ?)", (unicodedata.normalize("NFC", name), time.time())
            )
            identity = int(inserted.lastrowid or 0)
        for key in DETAIL_FIELDS:
            if details.get(key):
                self._db.execute(f"UPDATE identities SET {key} = ? WHERE id = ?", (details[key], identity))
        return identity

    def name_of(self, identity: int) -> str | None:
        """The name of a person on the list; None if nobody has this id."""
        row = self._db.execute("SELECT name FROM identities WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
        return None if row is None else str(row[0])

    def update_identity(self, identity: int, **details: str) -> bool:
        """Change a person's name, external_id, purpose, authority or expires. An empty text deletes a detail.

        Returns:
            False if nobody on the list has this id.

        Raises:
            StoreError: the name is empty, another person has the external id, or two people of one name would not both have an
                external id.
        """
        with self.transaction():
            row = self._db.execute("SELECT * FROM identities WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
            if row is None:
                return False
            kept = {key: details.get(key, row[key]) or None for key in ("name", *DETAIL_FIELDS)}
            if not kept["name"]:
                raise StoreError(f"name = {details['name']!r}: it is empty")
            kept["name"] = unicodedata.normalize("NFC", kept["name"])
            for other in self._db.execute("SELECT * FROM identities WHERE id != ? AND removed IS NULL", (identity,)):
                if kept["external_id"] and other["external_id"] == kept["external_id"] and "external_id" in details:
                    raise StoreError(f"external_id = {kept['external_id']!r}: ID {other['id']} has it")
                namesakes = unicodedata.normalize("NFC", other["name"]) == kept["name"]
                if namesakes and not (kept["external_id"] and other["external_id"]) and {"name", "external_id"} & details.keys():
                    raise StoreError(
                        f"name = {kept['name']!r}: ID {other['id']} has it, who is on the list; give both external ids"
                    )
            changes = ", ".join(f"{key} = ?" for key in kept)
            self._db.execute(f"UPDATE identities SET {changes} WHERE id = ?", (*kept.values(), identity))
            if kept["name"] != row["name"]:
                self._renearest(str(row["name"]), str(kept["name"]))
        return True

    def _renearest(self, old: str, new: str) -> None:
        """Rename a person in the ``nearest`` column of tracks, which holds a name only, unless somebody else has the old name."""
        self._db.execute(
            "UPDATE tracks SET nearest = ?2 WHERE nearest = ?1 "
            "AND NOT EXISTS (SELECT 1 FROM identities WHERE name = ?1 AND removed IS NULL)",
            (old, new),
        )

    def remove_photo(self, identity: int, photo: int) -> bool:
        """Delete one photo of a person, with chip and embedding. Returns whether there was such a photo."""
        with self.transaction():
            self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")
            done = self._db.execute("DELETE FROM enrolments WHERE identity = ? AND id = ?", (identity, photo))
            return bool(done.rowcount > 0)

    def move_photo(self, identity: int, photo: int, to: int) -> None:
        """Move one photo to another person. If that person has the same photo, it is deleted instead.

        Raises:
            StoreError: there is no such photo or person.
        """
        with self.transaction():
            self._must_exist(identity, to)
            row = self._db.execute("SELECT 1 FROM enrolments WHERE identity = ? AND id = ?", (identity, photo)).fetchone()
            if row is None:
                raise StoreError(f"ID {identity}, photo {photo}: no such photo")
            self._db.execute("UPDATE OR IGNORE enrolments SET identity = ? WHERE id = ?", (to, photo))
            self._db.execute("DELETE FROM enrolments WHERE id = ? AND identity = ?", (photo, identity))

    def merge(self, identity: int, into: int) -> int:
        """Merge one person into another, who gets the photos, sightings and alerts, and the details not set there.

        Args:
            identity: id of the person who is removed.
            into: id of the person who stays.

        Returns:
            Number of photos of the person who stays.

        Raises:
            StoreError: the ids are not two people on the list.
        """
        with self.transaction():
            self._must_exist(identity, into)
            old, new = (self._db.execute("SELECT * FROM identities WHERE id = ?", (who,)).fetchone() for who in (identity, into))
            self._db.execute("UPDATE OR IGNORE enrolments SET identity = ? WHERE identity = ?", (into, identity))
            self._db.execute("DELETE FROM enrolments WHERE identity = ?", (identity,))
            self._db.execute("UPDATE tracks SET identity = ?, name = ? WHERE identity = ?", (into, new["name"], identity))
            self._db.execute(
                "UPDATE alerts SET content = json_set(content, '$.name', ?, '$.identity', ?) "
                "WHERE identity = ? AND json_valid(content)",
                (new["name"], into, identity),
            )
            self._db.execute("UPDATE alerts SET identity = ? WHERE identity = ?", (into, identity))
            self.erase_details(identity)
            self._renearest(str(old["name"]), str(new["name"]))
            for key in DETAIL_FIELDS:
                if old[key] and not new[key]:
                    self._db.execute(f"UPDATE identities SET {key} = ? WHERE id = ?", (old[key], into))
            count = self._db.execute("SELECT COUNT(*) FROM enrolments WHERE identity = ?", (into,)).fetchone()[0]
        return int(count)

    def remove_identity(self, identity: int) -> bool:
        """Delete a person's photos, name and details, also the name in tracks and alerts, which keep the id.

        `watchlist.removal` does this and cleans the files next to the database as well.

        Returns:
            False if nobody on the list has this id.
        """
        with self.transaction():
            row = self._db.execute("SELECT name FROM identities WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
            if row is None:
                return False
            self._db.execute("DELETE FROM enrolments WHERE identity = ?", (identity,))
            self.erase_details(identity)
            self._unname(identity, str(row["name"]))
        return True

    def _unname(self, identity: int, name: str) -> None:
        """Replace a removed person's name in the decisions of tracks and in alerts."""
        label = removed_name(identity)
        self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")
        self._db.execute("UPDATE tracks SET name = ? WHERE identity = ?", (label, identity))
        self._db.execute("UPDATE tracks SET nearest = ? WHERE nearest = ?", (label, name))
        self._db.execute(
            "UPDATE alerts SET content = json_set(content, '$.name', ?) WHERE identity = ? AND json_valid(content)",
            (label, identity),
        )

    def erase_details(self, identity: int) -> None:
        """Mark a person as removed and delete name and details. The id stays, so that it is never reused."""
        nothing = ", ".join(f"{key} = NULL" for key in DETAIL_FIELDS)
        self._db.execute(f"UPDATE identities SET removed = ?, name = '', {nothing} WHERE id = ?", (time.time(), identity))
        self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")

    def _must_exist(self, identity: int, other: int) -> None:
        if identity == other:
            raise StoreError(f"ID {identity}: both are the same person")
        for who in (identity, other):
            if self.name_of(who) is None:
                raise StoreError(f"ID {who}: nobody on the list has it")


def removed_name(identity: int) -> str:
    """The text that replaces the name of a removed person."""
    return f"removed (ID {identity})"
