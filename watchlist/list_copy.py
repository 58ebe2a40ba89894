"""Copy a watchlist into the database of a run."""

from __future__ import annotations

from watchlist.database import Database
from watchlist.identities import Identities


class ListCopy(Identities):
    """A database's watchlist may be a copy of another database's. The copy is read-only: edit the source database."""

    def copied_from(self) -> str | None:
        """Path of the database whose list this one is a copy of; None if the list is its own."""
        origin = self._db.execute("SELECT copied_from FROM generation").fetchone()[0]
        return None if origin is None else str(origin)

    def detach_list(self) -> None:
        """Make the copy a list of its own, which can be edited."""
        self._db.execute("UPDATE generation SET copied_from = NULL WHERE copied_from IS NOT NULL")

    def copy_watchlist(self, other: Database) -> None:
        """Make this database's watchlist equal to another's, with the same ids. Only rows that differ are written.

        A run does this to record whom it looked for. Tracks that matched a person who is not on the other list keep the name and
        lose the id.

        Args:
            other: the source database.
        """
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
