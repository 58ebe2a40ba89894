"""Delete tracks and their pictures, and record which deleted content may still be in a file."""

from __future__ import annotations

from watchlist.database import Database
from watchlist.output_folder import shot_pictures
from watchlist.track_filter import LIVE_ONLY

DELETE_BATCH = 200_000  # tracks deleted in one transaction: each transaction writes every page it touches once


class TrackDeletion(Database):
    """Deletions of tracks. `watchlist.retention` decides which tracks, and deletes the files."""

    def ended_before(self, before: float, outcome: str | None = None) -> list[tuple[str, str]]:
        """Source and name of live cameras' finished tracks that ended before a Unix time.

        Args:
            before: Unix time.
            outcome: only tracks of this outcome; None: only tracks with a picture.
        """
        condition = "(crop IS NOT NULL OR restored IS NOT NULL)" if outcome is None else "outcome = :outcome"
        rows = self._db.execute(
            f"SELECT source, track FROM tracks INDEXED BY tracks_page WHERE final = 1 AND ended_at < :before AND {condition} "
            f"AND {LIVE_ONLY} ORDER BY rowid",  # in the order of the file
            {"before": before, "outcome": outcome},
        )
        return [(str(row[0]), str(row[1])) for row in rows]

    def pictures_and_template(self, source: str, track: str) -> tuple[list[str], bytes]:
        """File names of a track's pictures, and its stored template (b"" if none).

        The names are not checked. Open them only through `watchlist.output_folder`.
        """
        query = "SELECT crop, restored, template, shots FROM tracks WHERE source = ? AND track = ?"
        row = self._db.execute(query, (source, track)).fetchone() or (None, None, None, 0)
        names = [name for name in row[:2] if isinstance(name, str)]
        shots = shot_pictures(source, track, row[3] if isinstance(row[3], int) else 0)
        return [*names, *shots], row[2] if isinstance(row[2], bytes) else b""

    def delete_tracks(self, tracks: list[tuple[str, str]]) -> None:
        """Delete tracks, given by source and name, with their alerts. `finish_erasure` then removes their bytes from the file."""
        for start in range(0, len(tracks), DELETE_BATCH):  # other writers get their turn between batches
            part = tracks[start : start + DELETE_BATCH]
            with self.transaction():
                self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")
                self._db.executemany("DELETE FROM tracks WHERE source = ? AND track = ?", part)
                self._db.executemany("DELETE FROM alerts WHERE source = ? AND track = ?", part)

    def clear_pictures(self, tracks: list[tuple[str, str]]) -> None:
        """Remove the file names of pictures from tracks, given by source and name."""
        with self.transaction():
            self._db.executemany("UPDATE tracks SET crop = NULL, restored = NULL WHERE source = ? AND track = ?", tracks)

    def erasure_pending(self) -> bool:
        """Whether deleted content may still be in the database file."""
        return self._db.execute("SELECT erasing FROM generation").fetchone()[0] is not None

    def finish_erasure(self) -> bool:
        """Remove deleted content from the database file with `compact`. Returns False if another process is in the way."""
        if not self.compact():
            return False
        self._db.execute("UPDATE generation SET erasing = NULL")
        return True

    def track_names(self) -> set[bytes]:
        """Names of all tracks, in UTF-8."""
        return {str(row[0]).encode() for row in self._db.execute("SELECT track FROM tracks")}

    def leftovers(self) -> list[tuple[str, int, int, int]]:
        """Deleted content that purges could not remove from other files: file, length in bytes, salt and salted sum of each."""
        rows = self._db.execute("SELECT file, length, salt, sum FROM remains")
        return [(str(row[0]), int(row[1]), int(row[2]), int.from_bytes(row[3], "big")) for row in rows]

    def put_leftovers(self, leftovers: list[tuple[str, int, int, int]]) -> None:
        """Replace the list of `leftovers`."""
        rows = [(file, length, salt, total.to_bytes(8, "big")) for file, length, salt, total in leftovers]
        with self.transaction():
            self._db.execute("DELETE FROM remains")
            self._db.executemany("INSERT OR IGNORE INTO remains VALUES (?, ?, ?, ?)", rows)
