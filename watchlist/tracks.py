"""Everybody who was seen: tracks with their templates and what was decided of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.database import Database, StoreError

TRACK_COLUMNS = (
    "source track version final start_s end_s face_px shots template recognizer quality best_pts_s best_box crop restored path "
    "outcome identity name nearest score threshold fpir reasons started_at ended_at"
).split()

NO_RECORDING = "source NOT IN (SELECT name FROM recordings)"


@dataclass(frozen=True)
class Where:
    """Which tracks a question is about. ``since_s`` is PTS seconds, ``since_at`` and ``until_at`` are Unix times (tracks whose
    hour is not known are left out then), ``least_px`` is the width of the face."""

    source: str | None = None
    since_s: float | None = None
    since_at: float | None = None
    until_at: float | None = None
    least_px: float | None = None

    def clause(self) -> tuple[str, dict[str, Any]]:
        """As SQL over the table ``t``, and its values."""
        conditions = {
            "source": "t.source = :source",
            "since_s": "t.end_s >= :since_s",
            "since_at": "t.ended_at >= :since_at",
            "until_at": "t.started_at <= :until_at",
            "least_px": "t.face_px >= :least_px",
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
        """Tracks as dictionaries of their columns, by source and time; ``reasons`` and ``best_box`` decoded.

        ``started_after`` is Unix time, and leaves out those whose hour is not known.
        """
        where = ["final = 1"] if final_only else []
        if source is not None:
            where.append("source = :source")
        if started_after is not None:
            where.append("started_at >= :started_after")
        clause = f"WHERE {' AND '.join(where)}" if where else ""
        given = {"source": source, "started_after": started_after}
        return [
            _decoded(row) for row in self._db.execute(f"SELECT * FROM tracks {clause} ORDER BY source, start_s, track", given)
        ]

    def outcomes(self, started_after: float | None = None) -> dict[str, int]:
        """How many finished tracks there are of each outcome; all of them, or those begun since a Unix time."""
        rows = self._db.execute(
            "SELECT outcome, COUNT(*) FROM tracks WHERE final = 1 AND (:since IS NULL OR started_at >= :since) GROUP BY outcome",
            {"since": started_after},
        )
        return {str(row[0]): int(row[1]) for row in rows}

    def started_before_last(self, count: int) -> float | None:
        """The Unix time since which no more than ``count`` finished tracks have begun; None if there are fewer in all."""
        row = self._db.execute(
            "SELECT started_at FROM tracks WHERE final = 1 AND started_at IS NOT NULL ORDER BY started_at DESC LIMIT 1 OFFSET ?",
            (count - 1,),
        ).fetchone()
        return None if row is None else float(row[0])

    def each_final(self) -> Iterator[dict[str, Any]]:
        """What `tracks` gives but template and path, one after another: years of it need no memory."""
        columns = ", ".join(c for c in TRACK_COLUMNS if c not in ("template", "path"))
        for row in self._db.execute(f"SELECT {columns} FROM tracks WHERE final = 1 ORDER BY source, start_s, track"):
            yield _decoded(row)

    def reported(self, tracks: list[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, bool]]:
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
            f"SELECT 1 FROM tracks WHERE source = ? AND started_at IS NOT NULL AND {NO_RECORDING} LIMIT 1", (source,)
        )
        return found.fetchone() is not None

    def forget_tracks(self, source: str, after_s: float | None) -> None:
        """Delete a recording's tracks that end after a checkpoint (all of them with None): they will be made again. What a live
        camera saw cannot be, and stays."""
        self._db.execute(
            f"DELETE FROM tracks WHERE source = ? AND (started_at IS NULL OR NOT {NO_RECORDING}) AND (? IS NULL OR end_s > ?)",
            (source, after_s, after_s),
        )

    def templates(self, after: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """Ids (N,) and vectors (N, D) of the finished tracks that have a template, from the id behind ``after`` on.

        Raises StoreError if they were made by several recognisers, or are not all of one length.
        """
        rows = self._db.execute(
            "SELECT p.id, t.template FROM templates p JOIN tracks t USING (source, track) WHERE p.id > ? ORDER BY p.id", (after,)
        ).fetchall()
        ids = np.array([row[0] for row in rows], np.int64)
        lengths = {len(row[1]) for row in rows}
        if len(lengths) > 1:
            raise StoreError(f"{self.path}: templates of different recognisers")
        vectors = np.frombuffer(b"".join(row[1] for row in rows), np.float16)
        return ids, vectors.reshape(len(ids), -1) if rows else np.zeros((0, 0), np.float16)

    def recognizers(self) -> set[str]:
        """Digests of the recognisers that made the templates."""
        return {str(row[0]) for row in self._db.execute("SELECT DISTINCT recognizer FROM tracks WHERE template IS NOT NULL")}

    def template_of(self, source: str, track: str) -> NDArray[np.float32] | None:
        """A track's vector float32 (D,), or None if there is no such track or it has none."""
        row = self._db.execute("SELECT template FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        return None if row is None or row[0] is None else np.frombuffer(row[0], np.float16).astype(np.float32)

    def purged(self) -> int:
        """Grows whenever a template that was there before has gone or changed."""
        return int(self._db.execute("SELECT purged FROM generation").fetchone()[0])

    def searchable(self, where: Where) -> NDArray[np.int64]:
        """Ids of the templates that a question is about, in order."""
        clause, given = where.clause()
        found = self._db.execute(
            f"SELECT p.id FROM templates p JOIN tracks t USING (source, track) {clause} ORDER BY p.id", given
        )
        return np.array([row[0] for row in found], np.int64)

    def of_ids(self, ids: list[int]) -> list[dict[str, Any]]:
        """Columns of the tracks of those template ids, in that order."""
        marks = ", ".join("?" * len(ids))
        rows = self._db.execute(
            f"SELECT p.id AS template_id, t.* FROM templates p JOIN tracks t USING (source, track) WHERE p.id IN ({marks})", ids
        )
        found = {row["template_id"]: dict(row) for row in rows}
        return [found[i] for i in ids if i in found]

    def without_hour(self) -> int:
        """How many searchable tracks are of recordings whose time of day is not known."""
        return int(
            self._db.execute(
                "SELECT COUNT(*) FROM templates p JOIN tracks t USING (source, track) WHERE t.started_at IS NULL"
            ).fetchone()[0]
        )

    def ended(self, before: float, outcome: str | None = None) -> list[tuple[str, str]]:
        """Source and name of live cameras' finished tracks, of an outcome or with a picture, that ended before a Unix time."""
        which = "(crop IS NOT NULL OR restored IS NOT NULL)" if outcome is None else "outcome = :outcome"
        rows = self._db.execute(
            f"SELECT source, track FROM tracks WHERE final = 1 AND ended_at < :before AND {which} AND {NO_RECORDING}",
            {"before": before, "outcome": outcome},
        )
        return [(str(row[0]), str(row[1])) for row in rows]

    def forget(self, tracks: list[tuple[str, str]]) -> None:
        """Delete tracks with their alerts."""
        with self.transaction():
            self._db.executemany("DELETE FROM tracks WHERE source = ? AND track = ?", tracks)
            self._db.executemany("DELETE FROM alerts WHERE source = ? AND track = ?", tracks)

    def forget_pictures(self, tracks: list[tuple[str, str]]) -> None:
        """Take the pictures' names off tracks."""
        with self.transaction():
            self._db.executemany("UPDATE tracks SET crop = NULL, restored = NULL WHERE source = ? AND track = ?", tracks)

    def finish_abandoned(self, before: float | None = None) -> list[dict[str, Any]]:
        """Make the last report of unfinished tracks, or those seen last before a Unix time, the final one: whoever followed them
        is gone. Returns them, as `tracks` does."""
        done = self._db.execute(
            "UPDATE tracks SET final = 1 WHERE final = 0 AND (? IS NULL OR ended_at < ?) RETURNING *", (before, before)
        )
        return [_decoded(row) for row in done]


def _decoded(row: sqlite3.Row) -> dict[str, Any]:
    found = dict(row)
    found["reasons"] = json.loads(found["reasons"])
    found["best_box"] = json.loads(found["best_box"]) if found["best_box"] else None
    return found
