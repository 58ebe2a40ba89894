"""Read finished tracks for pages, the report and exports: page by page, by score, and as counts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from watchlist.database import Database
from watchlist.row_checks import checked_track
from watchlist.track_filter import ALL_TRACKS, SUMMARY_COLUMNS, TrackFilter


class TrackPages(Database):
    """Queries over finished tracks whose time and memory do not grow with the database."""

    def page(
        self, where: TrackFilter = ALL_TRACKS, limit: int = 100, after: tuple[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Up to ``limit`` finished tracks by source and time, without template and path.

        Args:
            where: selects the tracks.
            limit: largest number of tracks.
            after: source and name of the last track of the previous page; None: the first page.

        Raises:
            LookupError: there is no track ``after``.
            StoreError: a row is damaged.
        """
        clause, parameters = where.clause()
        clause = f"{clause} AND t.final = 1" if clause else "WHERE t.final = 1"
        if after is not None:
            last = self._db.execute("SELECT start_s FROM tracks WHERE source = ? AND track = ?", after).fetchone()
            if last is None:
                raise LookupError(f"{after[0]}/{after[1]}")
            clause += " AND (t.source, t.start_s, t.track) > (:after_source, :after_s, :after_track)"
            parameters |= {"after_source": after[0], "after_s": last[0], "after_track": after[1]}
        rows = self._db.execute(
            f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM tracks t INDEXED BY tracks_page {clause} "
            "ORDER BY t.source, t.start_s, t.track LIMIT :most",
            parameters | {"most": limit},
        )
        return [checked_track(row, self.path) for row in rows]

    def by_margin(
        self, outcome: str, most: int, within: float | None = None, where: TrackFilter = ALL_TRACKS
    ) -> list[dict[str, Any]]:
        """Finished tracks of one outcome, largest margin of the score over the threshold first.

        Args:
            outcome: ``match`` or ``no_match``.
            most: largest number of tracks.
            within: only tracks whose score is at most this far below their threshold. Raising it adds weaker candidates.
            where: selects the tracks.

        Returns:
            Rows as those of `page`.
        """
        clause, parameters = where.clause()
        clause = f"{clause} AND" if clause else "WHERE"
        near = "" if within is None else "AND t.score - t.threshold >= :least"
        rows = self._db.execute(
            f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM tracks t INDEXED BY tracks_margin {clause} t.final = 1 "
            f"AND t.outcome = :of AND t.score - t.threshold IS NOT NULL {near} ORDER BY t.score - t.threshold DESC LIMIT :most",
            parameters | {"of": outcome, "most": most, "least": -(within or 0.0)},
        )
        return [checked_track(row, self.path) for row in rows]

    def sources(self) -> list[str]:
        """Names of the sources that have finished tracks, sorted."""
        names: list[str] = []
        while True:  # one index lookup for each name, where SELECT DISTINCT would read every row
            row = self._db.execute(
                "SELECT source FROM tracks INDEXED BY tracks_page WHERE final = 1 AND source > ? ORDER BY source LIMIT 1",
                (names[-1] if names else "",),
            ).fetchone()
            if row is None:
                return names
            names.append(str(row[0]))

    def summaries(self, where: TrackFilter = ALL_TRACKS) -> list[dict[str, Any]]:
        """Counts and times of each source and outcome.

        Returns:
            Dictionaries with ``source``, ``outcome``, ``tracks`` (their number), ``timed`` (the number that has a time of day),
            and the first and last time in PTS seconds (``start_s``, ``end_s``) and Unix time (``started_at``, ``ended_at``).
        """
        clause, parameters = where.clause()
        columns = (
            "source, outcome, COUNT(*) AS tracks, COUNT(started_at) AS timed, MIN(start_s) AS start_s, MAX(end_s) AS end_s, "
            "MIN(started_at) AS started_at, MAX(ended_at) AS ended_at"
        )
        rows = self._db.execute(
            f"SELECT {columns} FROM tracks t INDEXED BY tracks_page {clause} "
            f"{'AND' if clause else 'WHERE'} final = 1 GROUP BY source, outcome ORDER BY source, outcome",
            parameters,
        )
        return [dict(row) for row in rows]

    def timeline_bars(
        self, source: str, begin: str, first: float, step: float, where: TrackFilter = ALL_TRACKS
    ) -> list[dict[str, Any]]:
        """Bars of a timeline: the finished tracks of one source, grouped by outcome, matched person and time step.

        Args:
            source: name of the recording or camera.
            begin: column of the time axis: ``start_s`` (PTS seconds) or ``started_at`` (Unix time).
            first: start of the timeline on that axis.
            step: seconds of one bar. Raising it gives fewer, longer bars.
            where: selects the tracks.

        Returns:
            Dictionaries with ``outcome``, ``person`` (None unless matched), ``tracks`` (their number), ``track`` (name of one of
            them), ``first`` and ``last`` time.
        """
        end = {"start_s": "end_s", "started_at": "ended_at"}[begin]
        clause, parameters = where.clause()
        rows = self._db.execute(
            "SELECT outcome, CASE outcome WHEN 'match' THEN name END AS person, COUNT(*) AS tracks, MIN(track) AS track, "
            f"MIN({begin}) AS first, MAX({end}) AS last FROM tracks t INDEXED BY tracks_page {clause} "
            f"{'AND' if clause else 'WHERE'} final = 1 AND outcome IN ('match', 'no_match', 'not_assessable') AND source = :of "
            f"GROUP BY outcome, person, CAST(({begin} - :first) / :step AS INTEGER) ORDER BY person, outcome, first",
            parameters | {"of": source, "first": first, "step": step},
        )
        return [dict(row) for row in rows]

    def outcome_counts(self, started_after: float | None = None) -> dict[str, int]:
        """Number of finished tracks of each outcome; with ``started_after`` (Unix time) only those that began since then."""
        rows = self._db.execute(
            "SELECT outcome, COUNT(*) FROM tracks WHERE final = 1 AND (:since IS NULL OR started_at >= :since) GROUP BY outcome",
            {"since": started_after},
        )
        return {str(row[0]): int(row[1]) for row in rows}

    def static_count(self, started_after: float | None = None) -> int:
        """Number of finished tracks that are static; with ``started_after`` (Unix time) only those that began since then."""
        clause, parameters = TrackFilter(started_after=started_after, static=True).clause()
        found = self._db.execute(f"SELECT COUNT(*) FROM tracks t {clause} AND t.final = 1", parameters).fetchone()
        return int(found[0])

    def start_of_newest(self, count: int) -> float | None:
        """Unix time at which the ``count``-th newest finished track began; None if there are fewer."""
        row = self._db.execute(
            "SELECT started_at FROM tracks WHERE final = 1 AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT 1 OFFSET ?",
            (count - 1,),
        ).fetchone()
        return None if row is None else float(row[0])

    def iter_final(self) -> Iterator[dict[str, Any]]:
        """Yield all finished tracks by source and time, without template and path. One row is in memory at a time."""
        columns = ", ".join(SUMMARY_COLUMNS)
        rows = self._db.execute(f"SELECT {columns} FROM tracks WHERE final = 1 ORDER BY source, start_s, track")
        for row in rows:
            yield checked_track(row, self.path)
