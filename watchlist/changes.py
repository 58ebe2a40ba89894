"""What has changed of the tracks a moment ago, so that open pages are told."""

from __future__ import annotations

from watchlist.database import Database


class Changes(Database):
    """The table ``changes``: the newest changes of finished and matched tracks, which triggers write. It keeps the last
    thousands alone."""

    def change_number(self) -> int:
        """The number of the newest change; 0 where there was none."""
        row = self._db.execute("SELECT COALESCE(MAX(seq), 0) FROM changes").fetchone()
        return int(row[0])

    def changes_after(self, number: int, limit: int = 100) -> tuple[int, list[tuple[str, str]]]:
        """The number to go on from, and source and name of the tracks that have changed since ``number``, the oldest first."""
        rows = self._db.execute(
            "SELECT seq, source, track FROM changes WHERE seq > ? ORDER BY seq LIMIT ?", (number, limit)
        ).fetchall()
        names = list(dict.fromkeys((str(row[1]), str(row[2])) for row in rows))
        return (int(rows[-1][0]) if rows else number), names
