"""The recordings of a run: names, addresses, start times."""

from __future__ import annotations

from dataclasses import dataclass

from watchlist.database import Database


@dataclass(frozen=True)
class Recording:
    """``address`` is the path or URL without credentials; ``stamp`` tells whether a file is the same.

    ``started_at`` is the Unix time of its PTS 0, None where that is not known; ``started_from`` says how it is.
    """

    name: str
    address: str
    stamp: str = ""
    started_at: float | None = None
    started_from: str = ""


class Recordings(Database):
    """The recordings' table. Live cameras are not in it."""

    def recordings(self) -> list[Recording]:
        rows = self._db.execute("SELECT name, address, stamp, started_at, started_from FROM recordings ORDER BY name")
        return [Recording(str(row[0]), str(row[1]), str(row[2]), row[3], str(row[4])) for row in rows]

    def put_recordings(self, found: list[Recording]) -> None:
        """Write them down; one that is known keeps its start."""
        with self.transaction():
            self._db.executemany(
                "INSERT INTO recordings (name, address, stamp) VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET address = excluded.address, stamp = excluded.stamp",
                [(r.name, r.address, r.stamp) for r in found],
            )

    def set_recording_start(self, name: str, started_at: float | None, started_from: str = "") -> None:
        """Give a recording's tracks their time of day, from the Unix time of PTS 0; with None it is not known."""
        with self.transaction():
            self._db.execute(
                "UPDATE recordings SET started_at = ?, started_from = ? WHERE name = ?", (started_at, started_from, name)
            )
            self._db.execute(
                "UPDATE tracks SET started_at = :at + start_s, ended_at = :at + end_s "
                "WHERE source = :name AND (started_at IS NOT :at + start_s OR ended_at IS NOT :at + end_s)",
                {"at": started_at, "name": name},
            )
