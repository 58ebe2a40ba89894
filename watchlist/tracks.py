"""Everybody who was seen: tracks with their templates and what was decided of them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.database import Database

TRACK_COLUMNS = (
    "source track version final start_s end_s face_px shots template recognizer quality best_pts_s best_box crop restored path "
    "outcome identity name nearest score threshold fpir reasons started_at ended_at"
).split()


class Tracks(Database):
    """The tracks' table."""

    def put_tracks(self, rows: list[dict[str, Any]]) -> None:
        """Write tracks, each with what was decided of it. The same track again overwrites itself unless it is older."""
        columns, marks = ", ".join(TRACK_COLUMNS), ", ".join(f":{c}" for c in TRACK_COLUMNS)
        updates = ", ".join(f"{c} = excluded.{c}" for c in TRACK_COLUMNS)
        with self.transaction():
            self._db.executemany(
                f"INSERT INTO tracks ({columns}) VALUES ({marks}) ON CONFLICT (source, track) DO UPDATE SET {updates} "
                "WHERE excluded.version >= tracks.version",
                rows,
            )

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
        rows = [dict(r) for r in self._db.execute(f"SELECT * FROM tracks {clause} ORDER BY source, start_s, track", given)]
        for row in rows:
            row["reasons"] = json.loads(row["reasons"])
            row["best_box"] = json.loads(row["best_box"]) if row["best_box"] else None
        return rows

    def is_final(self, source: str, track: str) -> bool:
        row = self._db.execute("SELECT final FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        return row is not None and bool(row["final"])

    def forget_tracks(self, source: str, after_s: float | None) -> None:
        """Delete a source's tracks that end after a checkpoint (all of them with None): they will be made again."""
        self._db.execute("DELETE FROM tracks WHERE source = ? AND (? IS NULL OR end_s > ?)", (source, after_s, after_s))

    def templates(self) -> tuple[list[dict[str, Any]], NDArray[np.float32], set[str]]:
        """All final tracks that have a template, their vectors float32 (N, D), and the recognisers' digests."""
        rows = [row for row in self.tracks() if row["template"] is not None]
        vectors = [np.frombuffer(row["template"], np.float16).astype(np.float32) for row in rows]
        return rows, np.stack(vectors) if vectors else np.zeros((0, 1), np.float32), {row["recognizer"] for row in rows}

    def finish_abandoned(self) -> int:
        """Make the last report of every unfinished track its final one: whoever followed it is gone. Returns how many."""
        done = self._db.execute("UPDATE tracks SET final = 1 WHERE final = 0")
        return done.rowcount
