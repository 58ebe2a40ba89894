"""Read track templates for search back and for deletion checks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.database import Database
from watchlist.row_checks import checked_embedding, checked_track
from watchlist.sqlite_connection import StoreError
from watchlist.track_filter import TrackFilter


class TrackTemplates(Database):
    """Embeddings of finished tracks. Each has a template id, which grows and is never reused."""

    def templates(self, after: int = 0) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
        """All templates whose id is above ``after``.

        Returns:
            Template ids int64 (N,), ascending, and embeddings float16 (N, D).

        Raises:
            StoreError: templates of several recognisers, of different lengths, or with values that are not finite.
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
                damaged = int(rows[int(np.flatnonzero(~np.isfinite(part).all(1))[0])][0])
                row = self.tracks_of_templates([damaged])[0]
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
        """A track's embedding float32 (D,); None if there is no such track, or it has no template."""
        row = self._db.execute("SELECT template FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        if row is None or row[0] is None:
            return None
        return checked_embedding(row[0], np.float16, self.path, f"the track {source}/{track}")

    def purge_count(self) -> int:
        """A counter that grows whenever an existing template is changed or deleted."""
        return self.counter("purged")

    def template_ids(self, where: TrackFilter) -> NDArray[np.int64]:
        """Ids int64 (N,) of the templates of the selected tracks, ascending."""
        clause, parameters = where.clause()
        rows = self._db.execute(
            f"SELECT p.id FROM templates p JOIN tracks t USING (source, track) {clause} ORDER BY p.id", parameters
        )
        return np.array([row[0] for row in rows], np.int64)

    def tracks_of_templates(self, ids: list[int]) -> list[dict[str, Any]]:
        """Columns of the tracks that have these template ids, in the order of ``ids``; unknown ids are left out."""
        marks = ", ".join("?" * len(ids))
        rows = self._db.execute(
            f"SELECT p.id AS template_id, t.* FROM templates p JOIN tracks t USING (source, track) WHERE p.id IN ({marks})", ids
        )
        by_id = {row["template_id"]: checked_track(row, self.path) for row in rows}
        return [by_id[i] for i in ids if i in by_id]

    def count_undated(self, sources: tuple[str, ...] | None = None) -> int:
        """Number of searchable tracks without a time of day, from recordings whose start time is unknown; of all ``sources``, or
        of these alone."""
        return int(
            self._db.execute(
                "SELECT COUNT(*) FROM templates p JOIN tracks t USING (source, track) WHERE t.started_at IS NULL "
                "AND (?1 IS NULL OR t.source IN (SELECT value FROM json_each(?1)))",
                (None if sources is None else json.dumps(sources),),
            ).fetchone()[0]
        )

    def any_template_contains(self, piece: bytes) -> bool:
        """Whether the template of any stored track contains these bytes."""
        return self._db.execute("SELECT 1 FROM tracks WHERE instr(template, ?) LIMIT 1", (piece,)).fetchone() is not None
