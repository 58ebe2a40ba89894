"""The recordings of a run: names, addresses, start times."""

from __future__ import annotations

from dataclasses import dataclass

from watchlist.database import Database


@dataclass(frozen=True)
class Recording:
    """One recording.

    Attributes:
        name: unique in the run.
        address: path or URL, without credentials.
        stamp: changes when the file changes; "" if unknown.
        started_at: Unix time of PTS 0; None if unknown.
        started_from: where ``started_at`` comes from, such as the container or the file name.
    """

    name: str
    address: str
    stamp: str = ""
    started_at: float | None = None
    started_from: str = ""


class Recordings(Database):
    """The table of recordings. It has no rows for live cameras."""

    def recordings(self) -> list[Recording]:
        """All recordings, by name."""
        rows = self._db.execute("SELECT name, address, stamp, started_at, started_from FROM recordings ORDER BY name")
        return [Recording(str(row[0]), str(row[1]), str(row[2]), row[3], str(row[4])) for row in rows]

    def put_recordings(self, recordings: list[Recording]) -> None:
        """Insert or update address and stamp of recordings. Start times that are stored already stay."""
        with self.transaction():
            self._db.executemany(
                "INSERT INTO recordings (name, address, stamp) VALUES (?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET address = excluded.address, stamp = excluded.stamp",
                [(r.name, r.address, r.stamp) for r in recordings],
            )

    def set_recording_start(self, name: str, started_at: float | None, started_from: str = "") -> None:
        """Set the start time of a recording, and with it the time of day of its tracks.

        Args:
            name: of the recording.
            started_at: Unix time of PTS 0; None: unknown, which deletes the tracks' time of day.
            started_from: where the time comes from.
        """
        with self.transaction():
            self._db.execute(
                "UPDATE recordings SET started_at = ?, started_from = ? WHERE name = ?", (started_at, started_from, name)
            )
            self._db.execute(
                "UPDATE tracks SET started_at = :at + start_s, ended_at = :at + end_s "
                "WHERE source = :name AND (started_at IS NOT :at + start_s OR ended_at IS NOT :at + end_s)",
                {"at": started_at, "name": name},
            )
