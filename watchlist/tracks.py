"""The track table: one row for each track, with its template, pictures and decision."""

from __future__ import annotations

from typing import Any

from watchlist.row_checks import checked_track
from watchlist.track_deletion import TrackDeletion
from watchlist.track_filter import LIVE_ONLY, SUMMARY_COLUMNS, TRACK_COLUMNS, TrackFilter
from watchlist.track_pages import TrackPages
from watchlist.track_templates import TrackTemplates

__all__ = ["SUMMARY_COLUMNS", "TRACK_COLUMNS", "TrackFilter", "Tracks", "box_number"]


class Tracks(TrackPages, TrackTemplates, TrackDeletion):
    """Writes tracks, and reads them whole. `TrackPages` reads them for pages, `TrackTemplates` for search back."""

    def put_tracks(self, rows: list[dict[str, Any]]) -> None:
        """Insert or update tracks with their decisions.

        A row replaces an older or equal ``version`` of the same track; a newer stored version stays. A finished track stays
        finished.

        Args:
            rows: dictionaries with all `TRACK_COLUMNS`.
        """
        columns, marks = ", ".join(TRACK_COLUMNS), ", ".join(f":{c}" for c in TRACK_COLUMNS)
        updates = ", ".join(f"{c} = excluded.{c}" for c in TRACK_COLUMNS if c != "final")
        updates += ", final = MAX(final, excluded.final)"
        with self.transaction():
            self._db.executemany(
                f"INSERT INTO tracks ({columns}) VALUES ({marks}) ON CONFLICT (source, track) DO UPDATE SET {updates} "
                "WHERE excluded.version >= tracks.version",
                rows,
            )

    def decided_by(self) -> str | None:
        """Digest of the list, FPIR and thresholds that decided the finished tracks (`watchlist.decision`); None: unknown."""
        found = self._db.execute("SELECT decided FROM generation").fetchone()[0]
        return None if found is None else str(found)

    def put_decided_by(self, digest: str) -> None:
        """Store the digest that `decided_by` returns."""
        self._db.execute("UPDATE generation SET decided = ?", (digest,))

    def put_decisions(self, rows: list[dict[str, Any]]) -> None:
        """Update the decisions of existing tracks and leave their other columns.

        Args:
            rows: dictionaries with ``source``, ``track``, ``outcome``, ``identity``, ``name``, ``nearest``, ``score``,
                ``threshold`` and ``fpir``.
        """
        changes = ", ".join(f"{c} = :{c}" for c in ("outcome", "identity", "name", "nearest", "score", "threshold", "fpir"))
        with self.transaction():
            self._db.executemany(f"UPDATE tracks SET {changes} WHERE source = :source AND track = :track", rows)

    def tracks(
        self, source: str | None = None, final_only: bool = True, started_after: float | None = None
    ) -> list[dict[str, Any]]:
        """Tracks with templates and paths, by source and time.

        All rows are in memory at once. Use it for one source or a short run, and `page` or `iter_final` otherwise.

        Args:
            source: name of the recording or camera; None: all.
            final_only: leave out unfinished tracks.
            started_after: Unix time; only tracks that began since then. Tracks without a time of day are left out.

        Returns:
            Dictionaries of all columns, with ``reasons`` and ``best_box`` decoded.

        Raises:
            StoreError: a row is damaged.
        """
        conditions = ["final = 1"] if final_only else []
        if source is not None:
            conditions.append("source = :source")
        if started_after is not None:
            conditions.append("started_at >= :started_after")
        clause = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        parameters = {"source": source, "started_after": started_after}
        rows = self._db.execute(f"SELECT * FROM tracks {clause} ORDER BY source, start_s, track", parameters)
        return [checked_track(row, self.path) for row in rows]

    def any_track(self) -> bool:
        """Whether there is any track, finished or not."""
        return self._db.execute("SELECT 1 FROM tracks LIMIT 1").fetchone() is not None

    def find_tracks(self, names: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Finished tracks by source and name, as `tracks` returns them; unknown names are left out."""
        rows = []
        for source, track in dict.fromkeys(names):
            row = self._db.execute(
                "SELECT * FROM tracks WHERE source = ? AND track = ? AND final = 1", (source, track)
            ).fetchone()
            if row is not None:
                rows.append(checked_track(row, self.path))
        return sorted(rows, key=lambda row: (row["source"], row["start_s"], row["track"]))

    def tracks_of_identity(self, identity: int) -> list[tuple[str, str]]:
        """Source and name of every finished track that matched a person."""
        rows = self._db.execute("SELECT source, track FROM tracks WHERE identity = ? AND final = 1", (identity,))
        return [(str(row[0]), str(row[1])) for row in rows]

    def versions(self, tracks: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, bool]]:
        """Version, and whether finished, of tracks by source and name; unknown names are left out."""
        versions = {}
        for key in set(tracks):
            row = self._db.execute("SELECT version, final FROM tracks WHERE source = ? AND track = ?", key).fetchone()
            if row is not None:
                versions[key] = (int(row[0]), bool(row[1]))
        return versions

    def is_final(self, source: str, track: str) -> bool:
        """Whether there is a finished track of this source and name."""
        row = self._db.execute("SELECT final FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        return row is not None and bool(row["final"])

    def is_camera(self, source: str) -> bool:
        """Whether a source is a live camera: its tracks have a time of day, and no recording has its name."""
        row = self._db.execute(
            f"SELECT 1 FROM tracks WHERE source = ? AND started_at IS NOT NULL AND {LIVE_ONLY} LIMIT 1", (source,)
        )
        return row.fetchone() is not None

    def delete_tracks_after(self, source: str, after_s: float | None) -> None:
        """Delete a recording's tracks that a resumed run makes again. Tracks of a live camera stay.

        Args:
            source: name of the recording.
            after_s: PTS seconds of the checkpoint; tracks that end later are deleted. None: all tracks.
        """
        self._db.execute(
            f"DELETE FROM tracks WHERE source = ? AND (started_at IS NULL OR NOT {LIVE_ONLY}) AND (? IS NULL OR end_s > ?)",
            (source, after_s, after_s),
        )

    def finish_abandoned(self, before: float | None = None) -> list[dict[str, Any]]:
        """Finish tracks whose tracker has stopped, with their last report as the final one.

        Args:
            before: Unix time; only tracks last seen before it. None: all unfinished tracks.

        Returns:
            The tracks that were finished, as `tracks` returns them.
        """
        rows = self._db.execute(
            "UPDATE tracks SET final = 1 WHERE final = 0 AND (? IS NULL OR ended_at < ?) RETURNING *", (before, before)
        )
        return [checked_track(row, self.path) for row in rows]


def box_number(track: str) -> str:
    """The number next to a track's box in the annotated video."""
    return track.rpartition("-")[2].lstrip("0") or "0"
