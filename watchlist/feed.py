"""The console's feed: filtered tracks, newest first, page by page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from watchlist.database import Database
from watchlist.row_checks import checked_track
from watchlist.tracks import SUMMARY_COLUMNS

# Unix time, or PTS seconds if the time of day is not known. Such tracks are sorted after all others.
AT = "COALESCE(t.started_at, t.start_s)"
COUNT_MOST = 1000  # filtered tracks are counted up to this number


@dataclass(frozen=True)
class FeedFilter:
    """Selects the tracks of the feed. A field that is None selects all.

    Attributes:
        outcome: ``match``, ``no_match`` or ``not_assessable``.
        source: name of the recording or camera.
        sources: names of the only sources that a user may see.
        identities: ids of the matched people.
        since_at, until_at: Unix times between which the track began. Tracks without a time of day are then left out.
        least_px, most_px: smallest and largest face width in pixels.
        review: ``open``, ``confirmed``, ``rejected`` or ``second``; see `watchlist.reviews`.
    """

    outcome: str | None = None
    source: str | None = None
    sources: tuple[str, ...] | None = None
    identities: tuple[int, ...] | None = None
    since_at: float | None = None
    until_at: float | None = None
    least_px: float | None = None
    most_px: float | None = None
    review: str | None = None

    def conditions(self) -> tuple[list[str], dict[str, Any]]:
        """SQL conditions over the tables ``t`` (tracks) and ``r`` (review states), and their parameters."""
        texts = {
            "outcome": "t.outcome = :outcome",
            "source": "t.source = :source",
            "since_at": f"{AT} >= :since_at",
            "until_at": f"{AT} <= :until_at",
            "least_px": "t.face_px >= :least_px",
            "most_px": "t.face_px <= :most_px",
        }
        given = {key: value for key in texts if (value := getattr(self, key)) is not None}
        found = [texts[key] for key in given]
        if self.until_at is not None and self.since_at is None:
            found.append("t.started_at IS NOT NULL")
        if self.sources is not None:
            given["sources"] = json.dumps(self.sources)
            found.append("t.source IN (SELECT value FROM json_each(:sources))")
        if self.identities is not None:
            given["identities"] = json.dumps(self.identities)
            found.append("t.identity IN (SELECT value FROM json_each(:identities))")
        if self.review == "open":
            found.append("t.outcome = 'match' AND t.final = 1 AND r.state IS NULL")
        elif self.review is not None:
            found.append("r.state = :review")
            given["review"] = self.review
        return found, given


class Feed(Database):
    """Reads tracks newest first. Filters use indexes, because rows contain embeddings and are slow to read."""

    def feed(
        self, where: FeedFilter = FeedFilter(), limit: int = 60, after: tuple[float, int] | None = None
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Up to ``limit`` tracks, finished or still in view, newest first.

        Args:
            where: selects the tracks.
            limit: largest number of tracks.
            after: ``at`` and ``number`` of the last row of the previous page; None: the first page.

        Returns:
            Rows as those of `Tracks.page`, with ``number`` (ascending in the order in which tracks were first written), ``at``
            (Unix time, or PTS seconds if the time of day is not known), ``review`` (the state, see `watchlist.reviews`; None if
            there is none) and ``judged`` (id of the person whom the review is about).

        Raises:
            StoreError: a row is damaged.
        """
        conditions, given = where.conditions()
        if after is not None:
            conditions.append(f"({AT}, t.rowid) < (:after_at, :after_number)")
            given |= {"after_at": after[0], "after_number": after[1]}
        return self._feed_rows(where, conditions, given, f"ORDER BY {AT} DESC, t.rowid DESC LIMIT :most", limit)

    def feed_named(self, names: Sequence[tuple[str, str]], where: FeedFilter = FeedFilter()) -> list[dict[str, Any]]:
        """Those of the named tracks (source and name) that pass a filter, as rows of `feed`."""
        found = []
        for source, track in names:
            conditions, given = where.conditions()
            conditions += ["t.source = :named_source", "t.track = :named_track"]
            given |= {"named_source": source, "named_track": track}
            found += self._feed_rows(None, conditions, given, "LIMIT :most", 1)
        return found

    def feed_count(self, where: FeedFilter) -> int:
        """Number of tracks that pass a filter, at most `COUNT_MOST`."""
        conditions, given = where.conditions()
        query = f"SELECT COUNT(*) FROM (SELECT 1 {self._from(where)} {_where(conditions)} LIMIT :most)"
        return int(self._db.execute(query, given | {"most": COUNT_MOST}).fetchone()[0])

    def feed_row(self, source: str, track: str) -> dict[str, Any] | None:
        """One track as a row of `feed`; None if there is none."""
        found = self.feed_named([(source, track)])
        return found[0] if found else None

    def track_path(self, source: str, track: str) -> bytes | None:
        """The stored path of a track: float32 (M, 5), PTS seconds and box of each detection; None if missing or damaged."""
        row = self._db.execute("SELECT path FROM tracks WHERE source = ? AND track = ?", (source, track)).fetchone()
        return None if row is None or not isinstance(row[0], bytes) or len(row[0]) % 20 else row[0]

    def _from(self, where: FeedFilter | None) -> str:
        """The FROM clause, with the index that suits the filter."""
        join = "LEFT JOIN review_states r ON r.source = t.source AND r.track = t.track"
        if where is None or where.identities is not None:
            return f"FROM tracks t {join}"
        if where.review in ("confirmed", "rejected", "second"):  # few
            return "FROM review_states r CROSS JOIN tracks t ON t.source = r.source AND t.track = r.track"
        index = "tracks_feed" if where.outcome is None and where.review is None else "tracks_feed_outcome"
        return f"FROM tracks t INDEXED BY {index} {join}"

    def _feed_rows(
        self, where: FeedFilter | None, conditions: list[str], given: dict[str, Any], order: str, limit: int
    ) -> list[dict[str, Any]]:
        columns = ", ".join(f"t.{column}" for column in SUMMARY_COLUMNS)
        chosen = f"SELECT t.rowid AS number {self._from(where)} {_where(conditions)} {order}"
        rows = self._db.execute(
            f"SELECT t.rowid AS number, {AT} AS at, {columns}, r.state AS review, r.identity AS judged "
            f"FROM ({chosen}) chosen CROSS JOIN tracks t ON t.rowid = chosen.number "
            "LEFT JOIN review_states r ON r.source = t.source AND r.track = t.track",
            given | {"most": limit},
        )
        return [checked_track(row, self.path) for row in rows]


def _where(conditions: list[str]) -> str:
    return f"WHERE {' AND '.join(conditions)}" if conditions else ""
