"""Read which tracks have changed, to update open pages of the console."""

from __future__ import annotations

from watchlist.database import Database


class Changes(Database):
    """The table ``changes``. Triggers write it when a track is finished, matched, decided anew or reviewed.

    Only the newest `watchlist.schema.CHANGES_KEPT` changes are kept.
    """

    def change_number(self) -> int:
        """The number of the newest change; 0 if there is none."""
        row = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM changes").fetchone()
        return int(row[0])

    def changes_after(self, number: int, limit: int = 100) -> tuple[int, list[tuple[str, str]]]:
        """Read up to ``limit`` changes after the change ``number``.

        Returns:
            The number of the last change read, to pass to the next call; source and name of the changed tracks, oldest first.
        """
        rows = self._db.execute(
            "SELECT seq, source, track FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (number, limit)
        ).fetchall()
        names = list(dict.fromkeys((str(row[1]), str(row[2])) for row in rows))
        return (int(rows[-1][0]) if rows else number), names
