"""Find, add, change, merge and remove people. An external id identifies a person, else the name."""

from __future__ import annotations

import time
import unicodedata

from watchlist.database import Database, StoreError

DETAIL_FIELDS = ("external_id", "purpose", "authority", "expires")


class AmbiguousName(StoreError):
    """Several people on the list have this name, and nothing else is known of who is meant."""


class Identities(Database):
    """Finds, makes, merges and changes the people of the watchlist. Ids are never used again."""

    def find_identity(self, name: str, external_id: str | None = None) -> int | None:
        """The id of a person on the list: by external id where one is given, else by name, in whatever Unicode form.

        Raises AmbiguousName where several people have the name and not exactly one of them is without an external id.
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
        """The id of this person (see `find_identity`; or the one given), made if need be; given details replace kept ones."""
        found = identity if identity is not None else self.find_identity(name, details.get("external_id"))
        if found is None:
            made = self._db.execute(
                "INSERT INTO identities (name, created) VALUES (?, ?)", (unicodedata.normalize("NFC", name), time.time())
            )
            found = int(made.lastrowid or 0)
        for key in DETAIL_FIELDS:
            if details.get(key):
                self._db.execute(f"UPDATE identities SET {key} = ? WHERE id = ?", (details[key], found))
        return found

    def name_of(self, identity: int) -> str | None:
        """The name of somebody on the list."""
        row = self._db.execute("SELECT name FROM identities WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
        return None if row is None else str(row[0])

    def update_identity(self, identity: int, **details: str) -> bool:
        """Change a person's name, external_id, purpose, authority or expires; "" empties one.

        Raises StoreError for an empty name, for an external id that somebody else has, and where no external ids would tell two
        people of one name apart.
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
        """Tracks tell whom they are nearest to by name alone: from now on the new one, unless somebody else has the old one."""
        self._db.execute(
            "UPDATE tracks SET nearest = ?2 WHERE nearest = ?1 "
            "AND NOT EXISTS (SELECT 1 FROM identities WHERE name = ?1 AND removed IS NULL)",
            (old, new),
        )

    def remove_photo(self, identity: int, photo: int) -> bool:
        """Delete one photo of a person, with chip and vector. Returns whether there was one."""
        with self.transaction():
            self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")
            done = self._db.execute("DELETE FROM enrolments WHERE identity = ? AND id = ?", (identity, photo))
            return bool(done.rowcount > 0)

    def move_photo(self, identity: int, photo: int, to: int) -> None:
        """Give one photo of a person to another; one that they have already is deleted. Raises StoreError if there is none."""
        with self.transaction():
            self._must_exist(identity, to)
            row = self._db.execute("SELECT 1 FROM enrolments WHERE identity = ? AND id = ?", (identity, photo)).fetchone()
            if row is None:
                raise StoreError(f"ID {identity}, photo {photo}: no such photo")
            self._db.execute("UPDATE OR IGNORE enrolments SET identity = ? WHERE id = ?", (to, photo))
            self._db.execute("DELETE FROM enrolments WHERE id = ? AND identity = ?", (photo, identity))

    def merge(self, identity: int, into: int) -> int:
        """Make two people one: photos, sightings and alerts of the first become the second's, and details that the second lacks.

        Returns how many photos the second has afterwards. Raises StoreError if they are not two people on the list.
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

    def erase_details(self, identity: int) -> None:
        """Mark a person as removed and delete name and details; the id stays, so that it is never used again."""
        nothing = ", ".join(f"{key} = NULL" for key in DETAIL_FIELDS)
        self._db.execute(f"UPDATE identities SET removed = ?, name = '', {nothing} WHERE id = ?", (time.time(), identity))
        self._db.execute(  # of earlier versions
            "UPDATE audit SET detail = json_object('identity', ?1) "
            "WHERE what = 'enrol' AND json_valid(detail) AND json_extract(detail, '$.identity') = ?1",
            (identity,),
        )
        self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")

    def _must_exist(self, identity: int, other: int) -> None:
        if identity == other:
            raise StoreError(f"ID {identity}: both are the same person")
        for who in (identity, other):
            if self.name_of(who) is None:
                raise StoreError(f"ID {who}: nobody on the list has it")
