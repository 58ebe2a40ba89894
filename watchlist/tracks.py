"""All tracks: their templates, pictures and decisions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.database import Database
from watchlist.row_checks import checked_embedding, checked_track
from watchlist.sqlite_connection import StoreError

TRACK_COLUMNS = (
    "source track version final start_s end_s face_px shots template recognizer quality best_pts_s best_box crop restored path "
    "outcome identity name nearest score threshold fpir reasons started_at ended_at"
).split()

LIVE_ONLY = "source NOT IN (SELECT name FROM recordings)"


SUMMARY_COLUMNS = tuple(c for c in TRACK_COLUMNS if c not in ("template", "path"))
DELETE_BATCH = 200_000  # tracks deleted in one transaction: each writes every page it touches once


@dataclass(frozen=True)
class TrackFilter:
    """Which tracks a question is about. ``since_s`` and ``until_s`` are PTS seconds, ``since_at`` and ``until_at`` are Unix times
    (tracks whose hour is not known are left out then), ``least_px`` is the width of the face."""

    source: str | None = None
    since_s: float | None = None
    since_at: float | None = None
    until_at: float | None = None
    least_px: float | None = None
    until_s: float | None = None
    outcome: str | None = None
    started_after: float | None = None

    def clause(self) -> tuple[str, dict[str, Any]]:
        """As SQL over the table ``t``, and its values."""
        conditions = {
            "source": "t.source = :source",
            "since_s": "t.end_s >= :since_s",
            "since_at": "t.ended_at >= :since_at",
            "until_at": "t.started_at <= :until_at",
            "least_px": "t.face_px >= :least_px",
            "until_s": "t.start_s <= :until_s",
            "outcome": "t.outcome = :outcome",
            "started_after": "t.started_at >= :started_after",
        }
        given = {key: value for key in conditions if (value := getattr(self, key)) is not None}
        return ("WHERE " + " AND ".join(conditions[key] for key in given)) if given else "", given


class Tracks(Database):
    """The tracks' table."""

    def put_tracks(self, rows: list[dict[str, Any]]) -> None:
        """Write tracks, each with what was decided of it. The same track again overwrites itself unless it is older; one that has
        been finished stays finished."""
        columns, marks = ", ".join(TRACK_COLUMNS), ", ".join(f":{c}" for c in TRACK_COLUMNS)
        updates = ", ".join(f"{c} = excluded.{c}" for c in TRACK_COLUMNS if c != "final")
        updates += ", final = MAX(final, excluded.final)"
        with self.transaction():
            self._db.executemany(
                f"INSERT INTO tracks ({columns}) VALUES ({marks}) ON CONFLICT (source, track) DO UPDATE SET {updates} "
                "WHERE excluded.version >= tracks.version",
                rows,
            )

    def put_decisions(self, rows: list[dict[str, Any]]) -> None:
        """Replace what was decided of tracks, and nothing else of them."""
        changes = ", ".join(f"{c} = :{c}" for c in ("outcome", "identity", "name", "nearest", "score", "threshold", "fpir"))
        with self.transaction():
            self._db.executemany(f"UPDATE tracks SET {changes} WHERE source = :source AND track = :track", rows)

    def tracks(
        self, source: str | None = None, final_only: bool = True, started_after: float | None = None
    ) -> list[dict[str, Any]]:
        """Tracks as dictionaries of their columns, by source and time; ``reasons`` and ``best_box`` decoded. All of them, with
        templates and paths, in memory: for one source or a short run; see `page` and `iter_final`.

        ``started_after`` is Unix time, and leaves out those whose hour is not known. Raises StoreError for a damaged row.
        """
        where = ["final = 1"] if final_only else []
        if source is not None:
            where.append("source = :source")
        if started_after is not None:
            where.append("started_at >= :started_after")
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        given = {"source": source, "started_after": started_after}
        rows = self._db.execute(f"SELECT * FROM tracks {clause} ORDER BY source, start_s, track", given)
        return [checked_track(row, self.path) for row in rows]

    def any_track(self) -> bool:
        """Whether there is a track, finished or not."""
        return self._db.execute("SELECT 1 FROM tracks LIMIT 1").fetchone() is not None

    def find_tracks(self, names: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Finished tracks by source and name, those that there are, as `tracks` gives them."""
        found = []
        for source, track in dict.fromkeys(names):
            row = self._db.execute(
                "SELECT * FROM tracks WHERE source = ? AND track = ? AND final = 1", (source, track)
            ).fetchone()
            if row is not None:
                found.append(checked_track(row, self.path))
        return sorted(found, key=lambda row: (row["source"], row["start_s"], row["track"]))

    def tracks_of_identity(self, identity: int) -> list[tuple[str, str]]:
        """Source and name of every finished track that matched a person."""
        rows = self._db.execute("SELECT source, track FROM tracks WHERE identity = ? AND final = 1", (identity,))
        return [(str(row[0]), str(row[1])) for row in rows]

    def page(
        self, where: TrackFilter = TrackFilter(), limit: int = 100, after: tuple[str, str] | None = None
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Up to ``limit`` finished tracks by source and time, without template and path.

        Args:
            where: which of them.
            after: source and name of the track that the page before ended with; None for the first page.

        Raises:
            LookupError: there is no such track to go on after.
            StoreError: a damaged row.
        """
        clause, given = where.clause()
        clause = f"{clause} AND t.final = 1" if clause else "WHERE t.final = 1"
        if after is not None:
            last = self._db.execute("SELECT start_s FROM tracks WHERE source = ? AND track = ?", after).fetchone()
            if last is None:
                raise LookupError(f"{after[0]}/{after[1]}")
            clause += " AND (t.source, t.start_s, t.track) > (:after_source, :after_s, :after_track)"
            given |= {"after_source": after[0], "after_s": last[0], "after_track": after[1]}
        rows = self._db.execute(
            f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM tracks t INDEXED BY tracks_page {clause} "
            "ORDER BY t.source, t.start_s, t.track LIMIT :most",
            given | {"most": limit},
        )
        return [checked_track(row, self.path) for row in rows]

    def by_margin(
        self, outcome: str, most: int, within: float | None = None, where: TrackFilter = TrackFilter()
    ) -> list[dict[str, Any]]:
        """Up to ``most`` finished tracks of an outcome, those with the highest score against their threshold first, as `page`
        gives them; with ``within`` only those whose score is at most so far below it."""
        clause, given = where.clause()
        clause = f"{clause} AND" if clause else "WHERE"
        near = "" if within is None else "AND t.score - t.threshold >= :least"
        rows = self._db.execute(
            f"SELECT {', '.join(SUMMARY_COLUMNS)} FROM tracks t INDEXED BY tracks_margin {clause} t.final = 1 "
            f"AND t.outcome = :of AND t.score - t.threshold IS NOT NULL {near} ORDER BY t.score - t.threshold DESC LIMIT :most",
            given | {"of": outcome, "most": most, "least": -(within or 0.0)},
        )
        return [checked_track(row, self.path) for row in rows]

    def sources(self) -> list[str]:
        """Names of the sources that have finished tracks."""
        found: list[str] = []
        while True:  # from one name to the next, through the index
            row = self._db.execute(
                "SELECT source FROM tracks INDEXED BY tracks_page WHERE final = 1 AND source > ? ORDER BY source LIMIT 1",
                (found[-1] if found else "",),
            ).fetchone()
            if row is None:
                return found
            found.append(str(row[0]))

    def summaries(self, where: TrackFilter = TrackFilter()) -> list[dict[str, Any]]:
        """For each source and outcome: ``tracks``, of how many of them the hour is known (``timed``), and the first and last
        time in PTS seconds (``start_s``, ``end_s``) and Unix time (``started_at``, ``ended_at``)."""
        clause, given = where.clause()
        columns = (
            "source, outcome, COUNT(*) AS tracks, COUNT(started_at) AS timed, MIN(start_s) AS start_s, MAX(end_s) AS end_s, "
            "MIN(started_at) AS started_at, MAX(ended_at) AS ended_at"
        )
        rows = self._db.execute(
            f"SELECT {columns} FROM tracks t INDEXED BY tracks_page {clause} "
            f"{'AND' if clause else 'WHERE'} final = 1 GROUP BY source, outcome ORDER BY source, outcome",
            given,
        )
        return [dict(row) for row in rows]

    def timeline_bars(
        self, source: str, begin: str, first: float, step: float, where: TrackFilter = TrackFilter()
    ) -> list[dict[str, Any]]:
        """A source's finished tracks for a timeline: for each outcome, name of who was matched, and step of time, how many
        (``tracks``), from when to when (``first``, ``last``), and the name of one (``track``).

        Args:
            begin: what is the clock, ``start_s`` (PTS seconds) or ``started_at`` (Unix time).
            first: the beginning of the timeline on that clock; ``step`` its seconds for one bar.
        """
        end = {"start_s": "end_s", "started_at": "ended_at"}[begin]
        clause, given = where.clause()
        rows = self._db.execute(
            "SELECT outcome, CASE outcome WHEN 'match' THEN name END AS person, COUNT(*) AS tracks, MIN(track) AS track, "
            f"MIN({begin}) AS first, MAX({end}) AS last FROM tracks t INDEXED BY tracks_page {clause} "
            f"{'AND' if clause else 'WHERE'} final = 1 AND outcome IN ('match', 'no_match', 'not_assessable') AND source = :of "
            f"GROUP BY outcome, person, CAST(({begin} - :first) / :step AS INTEGER) ORDER BY person, outcome, first",
            given | {"of": source, "first": first, "step": step},
        )
        return [dict(row) for row in rows]

    def outcome_counts(self, started_after: float | None = None) -> dict[str, int]:
        """How many finished tracks there are of each outcome; all of them, or those begun since a Unix time."""
        rows = self._db.execute(
            "SELECT outcome, COUNT(*) FROM tracks WHERE final = 1 AND (:since IS NULL OR started_at >= :since) GROUP BY outcome",
            {"since": started_after},
        )
        return {str(row[0]): int(row[1]) for row in rows}

    def start_of_newest(self, count: int) -> float | None:
        """The Unix time since which no more than ``count`` finished tracks have begun; None if there are fewer in all."""
        row = self._db.execute(
            "SELECT started_at FROM tracks WHERE final = 1 AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT 1 OFFSET ?",
            (count - 1,),
        ).fetchone()
        return None if row is None else float(row[0])

    def iter_final(self) -> Iterator[dict[str, Any]]:
        """What `tracks` gives but template and path, one after another: years of it need no memory."""
        columns = ", ".join(SUMMARY_COLUMNS)
        rows = self._db.execute(f"SELECT {columns} FROM tracks WHERE final = 1 ORDER BY source, start_s, track")
        for row in rows:
            yield checked_track(row, self.path)

    def versions(self, tracks: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, bool]]:
        """Version and finality of those tracks (source and name) that are there."""
        found = {}
        for key in set(tracks):
            row = self._db.execute("SELECT version, final FROM tracks WHERE source = ? AND track = ?", key).fetchone()
            if row is not None:
                found[key] = (int(row[0]), bool(row[1]))
        return found

    def is_final(self, source: str, track: str) -> bool:
        row = self._db.execute("SELECT final FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        return row is not None and bool(row["final"])

    def is_camera(self, source: str) -> bool:
        """Whether tracks of a live camera have that source's name: they know their hour, and it is no recording's."""
        found = self._db.execute(
            f"SELECT 1 FROM tracks WHERE source = ? AND started_at IS NOT NULL AND {LIVE_ONLY} LIMIT 1", (source,)
        )
        return found.fetchone() is not None

    def delete_tracks_after(self, source: str, after_s: float | None) -> None:
        """Delete a recording's tracks that end after a checkpoint (all of them with None): they will be made again. What a live
        camera saw cannot be, and stays."""
        self._db.execute(
            f"DELETE FROM tracks WHERE source = ? AND (started_at IS NULL OR NOT {LIVE_ONLY}) AND (? IS NULL OR end_s > ?)",
            (source, after_s, after_s),
        )

    def templates(self, after: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (N,) and vectors (N, D) of the finished tracks that have a template, from the id behind ``after`` on.

        Raises StoreError if they were made by several recognisers, are not all of one length, or not finite.
        """
        cursor = self._db.execute(
            "SELECT p.id, t.template FROM templates p JOIN tracks t USING (source, track) WHERE p.id > ? ORDER BY p.id", (after,)
        )
        ids: list[NDArray[np.int64]] = []
        vectors: list[NDArray[np.float16]] = []
        while rows := cursor.fetchmany(20_000):
            lengths = {len(row[1]) if isinstance(row[1], bytes) else -1 for row in rows}
            if len(lengths | {2 * part.shape[1] for part in vectors}) > 1:
                raise StoreError(f"{self.path}: templates of different recognisers")
            if min(lengths) <= 0 or min(lengths) % 2:
                raise StoreError(f"{self.path}: damaged (templates that are no embeddings); put back a copy of it from before")
            part = np.frombuffer(b"".join(row[1] for row in rows), np.float16).reshape(len(rows), -1)
            if not np.isfinite(part).all():
                odd = int(rows[int(np.flatnonzero(~np.isfinite(part).all(1))[0])][0])
                row = self.tracks_of_templates([odd])[0]
                checked_embedding(row["template"], np.float16, self.path, f"the track {row['source']}/{row['track']}")
            ids.append(np.array([row[0] for row in rows], np.int64))
            vectors.append(part)
        if not ids:
            return np.zeros(0, np.int64), np.zeros((0, 0), np.float16)
        return np.concatenate(ids), np.concatenate(vectors)

    def recognizers(self) -> set[str]:
        """Digests of the recognisers that made the templates."""
        return {str(row[0]) for row in self._db.execute("SELECT DISTINCT recognizer FROM tracks WHERE template IS NOT NULL")}

    def template_of(self, source: str, track: str) -> NDArray[np.float32] | None:
        """A track's vector float32 (D,), or None if there is no such track or it has none."""
        row = self._db.execute("SELECT template FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        if row is None or row[0] is None:
            return None
        return checked_embedding(row[0], np.float16, self.path, f"the track {source}/{track}")

    def purge_count(self) -> int:
        """Grows whenever a template that was there before has gone or changed."""
        return self.counter("purged")

    def template_ids(self, where: TrackFilter) -> NDArray[np.int64]:
        """Ids of the templates that a question is about, in order."""
        clause, given = where.clause()
        found = self._db.execute(
            f"SELECT p.id FROM templates p JOIN tracks t USING (source, track) {clause} ORDER BY p.id", given
        )
        return np.array([row[0] for row in found], np.int64)

    def tracks_of_templates(self, ids: list[int]) -> list[dict[str, Any]]:
        """Columns of the tracks of those template ids, in that order."""
        marks = ", ".join("?" * len(ids))
        rows = self._db.execute(
            f"SELECT p.id AS template_id, t.* FROM templates p JOIN tracks t USING (source, track) WHERE p.id IN ({marks})", ids
        )
        found = {row["template_id"]: checked_track(row, self.path) for row in rows}
        return [found[i] for i in ids if i in found]

    def count_undated(self) -> int:
        """How many searchable tracks are of recordings whose time of day is not known."""
        return int(
            self._db.execute(
                "SELECT COUNT(*) FROM templates p JOIN tracks t USING (source, track) WHERE t.started_at IS NULL"
            ).fetchone()[0]
        )

    def ended_before(self, before: float, outcome: str | None = None) -> list[tuple[str, str]]:
        """Source and name of live cameras' finished tracks, of an outcome or with a picture, that ended before a Unix time."""
        which = "(crop IS NOT NULL OR restored IS NOT NULL)" if outcome is None else "outcome = :outcome"
        rows = self._db.execute(
            f"SELECT source, track FROM tracks INDEXED BY tracks_page WHERE final = 1 AND ended_at < :before AND {which} "
            f"AND {LIVE_ONLY} ORDER BY rowid",  # as they lie in the file
            {"before": before, "outcome": outcome},
        )
        return [(str(row[0]), str(row[1])) for row in rows]

    def pictures_and_template(self, source: str, track: str) -> tuple[list[str], bytes]:
        """Names of a track's pictures (open them only through `watchlist.output_folder`), and its stored template."""
        query = "SELECT crop, restored, template FROM tracks WHERE source = ? AND track = ?"
        row = self._db.execute(query, (source, track)).fetchone() or (None, None, None)
        return [name for name in row[:2] if isinstance(name, str)], row[2] if isinstance(row[2], bytes) else b""

    def any_template_contains(self, piece: bytes) -> bool:
        """Whether a template of a track that there is holds these bytes."""
        return self._db.execute("SELECT 1 FROM tracks WHERE instr(template, ?) LIMIT 1", (piece,)).fetchone() is not None

    def delete_tracks(self, tracks: list[tuple[str, str]]) -> None:
        """Delete tracks with their alerts, and remember that what was deleted is still to be removed from the file."""
        for start in range(0, len(tracks), DELETE_BATCH):  # so that others can write in between
            part = tracks[start : start + DELETE_BATCH]
            with self.transaction():
                self._db.execute("UPDATE generation SET erasing = CAST(strftime('%s', 'now') AS REAL) WHERE erasing IS NULL")
                self._db.executemany("DELETE FROM tracks WHERE source = ? AND track = ?", part)
                self._db.executemany("DELETE FROM alerts WHERE source = ? AND track = ?", part)

    def clear_pictures(self, tracks: list[tuple[str, str]]) -> None:
        """Take the pictures' names off tracks."""
        with self.transaction():
            self._db.executemany("UPDATE tracks SET crop = NULL, restored = NULL WHERE source = ? AND track = ?", tracks)

    def erasure_pending(self) -> bool:
        """Whether deleted content may still be in the file."""
        return self._db.execute("SELECT erasing FROM generation").fetchone()[0] is not None

    def finish_erasure(self) -> bool:
        """Remove deleted content from the file, by `compact`. Returns whether it could be."""
        if not self.compact():
            return False
        self._db.execute("UPDATE generation SET erasing = NULL")
        return True

    def track_names(self) -> set[bytes]:
        """The names of all tracks that there are."""
        return {str(row[0]).encode() for row in self._db.execute("SELECT track FROM tracks")}

    def leftovers(self) -> list[tuple[str, int, int, int]]:
        """What purges found left in other files: the file, and length in bytes, salt and salted sum of what was found."""
        rows = self._db.execute("SELECT file, length, salt, sum FROM remains")
        return [(str(row[0]), int(row[1]), int(row[2]), int.from_bytes(row[3], "big")) for row in rows]

    def put_leftovers(self, found: list[tuple[str, int, int, int]]) -> None:
        """Replace what is known of that."""
        rows = [(file, length, salt, total.to_bytes(8, "big")) for file, length, salt, total in found]
        with self.transaction():
            self._db.execute("DELETE FROM remains")
            self._db.executemany("INSERT OR IGNORE INTO remains VALUES (?, ?, ?, ?)", rows)

    def finish_abandoned(self, before: float | None = None) -> list[dict[str, Any]]:
        """Make the last report of unfinished tracks, or those seen last before a Unix time, the final one: whoever followed them
        is gone. Returns them, as `tracks` does."""
        done = self._db.execute(
            "UPDATE tracks SET final = 1 WHERE final = 0 AND (? IS NULL OR ended_at < ?) RETURNING *", (before, before)
        )
        return [checked_track(row, self.path) for row in done]


def box_number(track: str) -> str:
    """The number that the annotated video shows beside a track's box."""
    return track.rpartition("-")[2].lstrip("0") or "0"
