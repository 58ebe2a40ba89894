"""Reviews of tracks by users: confirmed, rejected or open."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass
from typing import Any

from watchlist.database import Database, StoreError
from watchlist.row_checks import checked_track
from watchlist.static_tracks import STATIC_SQL
from watchlist.tracks import SUMMARY_COLUMNS

VERDICTS = ("confirmed", "rejected", "open")
REJECTED = "rejected in review"  # in the reasons of a track
MAX_NOTE = 2000  # characters
WORTH_PX = 20.0  # smallest face width in pixels at which a human may recognise a face that the recogniser could not assess


class StaleReview(StoreError):
    """Another user has reviewed the track since it was read."""


@dataclass(frozen=True)
class Review:
    """One user's verdict on a track.

    Attributes:
        id: grows with every review.
        source, track: the track.
        identity: id of the matched person that the verdict is about; None for a track without a match.
        verdict: one of `VERDICTS`.
        note: free text.
        user: who gave the verdict.
        at: Unix time.
    """

    id: int
    source: str
    track: str
    identity: int | None
    verdict: str
    note: str
    user: str
    at: float


class Reviews(Database):
    """The tables of the reviews: all verdicts, and the state of each track that results from them.

    The states are:
        ``rejected``: the newest verdict is ``rejected``.
        ``confirmed``: the newest verdict is ``confirmed``, and enough users confirm the match.
        ``second``: the newest verdict is ``confirmed``, and more users have to confirm.
        None: there is no verdict, or the newest one is ``open``.

    While a match is rejected, the track's outcome is ``no_match``, even if the pipeline writes the track again (trigger
    ``tracks_rejected``).
    """

    def put_review(
        self, source: str, track: str, verdict: str, note: str = "", persons: int = 1, last_review: int | None = None
    ) -> str | None:
        """Store a verdict of ``self.user``, and write it to the audit log.

        Args:
            source, track: the track.
            verdict: one of `VERDICTS`.
            note: free text, at most `MAX_NOTE` characters.
            persons: number of users who have to confirm a match.
            last_review: id of the newest review that the user has seen, 0 for none; None: not checked.

        Returns:
            The new state of the track, see `Reviews`.

        Raises:
            StaleReview: the newest review is another one than ``last_review``.
            StoreError: no such track, an unknown verdict, or too long a note.
        """
        if verdict not in VERDICTS:
            raise StoreError(f"verdict {verdict}: must be one of {', '.join(VERDICTS)}")
        if len(note) > MAX_NOTE:
            raise StoreError(f"note: {len(note)} characters, at most {MAX_NOTE} are kept; shorten it")
        with self.transaction():
            row = self._db.execute(
                "SELECT t.*, r.state, r.identity AS judged FROM tracks t LEFT JOIN review_states r USING (source, track) "
                "WHERE t.source = ? AND t.track = ?",
                (source, track),
            ).fetchone()
            if row is None:
                raise StoreError(f"{source}/{track}: no such track; it may have been purged")
            newest = self._db.execute("SELECT MAX(id) FROM reviews WHERE source = ? AND track = ?", (source, track)).fetchone()[0]
            if last_review is not None and (newest or 0) != last_review:
                raise StaleReview(f"{source}/{track}: somebody else has reviewed it meanwhile; look at it again")
            identity = row["judged"] if row["state"] == "rejected" and row["judged"] is not None else row["identity"]
            self._db.execute(
                "INSERT INTO reviews (source, track, identity, verdict, note, user, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (source, track, identity, verdict, note, self.user, time.time()),
            )
            state = self._state(source, track, identity, persons)
            self._set_state(row, state, identity)
            self._audit(row, verdict, state, identity)
        return state

    def reviews(self, source: str, track: str) -> list[Review]:
        """All verdicts on a track, newest first."""
        rows = self._db.execute("SELECT * FROM reviews WHERE source = ? AND track = ? ORDER BY id DESC", (source, track))
        return [Review(**dict(row)) for row in rows]

    def review_counts(self) -> dict[str, int]:
        """Number of tracks in each state. ``open`` counts finished matches without a state."""
        rows = self._db.execute("SELECT state, COUNT(*) FROM review_states GROUP BY state")
        found = {str(row[0]): int(row[1]) for row in rows}
        found["open"] = int(
            self._db.execute(
                "SELECT COUNT(*) FROM tracks t INDEXED BY tracks_feed_outcome WHERE t.outcome = 'match' AND t.final = 1 AND NOT "
                "EXISTS (SELECT 1 FROM review_states r WHERE r.source = t.source AND r.track = t.track)"
            ).fetchone()[0]
        )
        return found

    def worth_a_look(self, limit: int = 60, after: tuple[float, int] | None = None) -> list[dict[str, Any]]:
        """Find tracks that are not assessable, but that a human may recognise.

        These are finished tracks with a crop and a face of at least `WORTH_PX`, without a review state, and not static.

        Args:
            limit: largest number of tracks.
            after: ``at`` and ``number`` of the last row of the previous page; None: the first page.

        Returns:
            Rows as those of `Feed.feed`, newest first.
        """
        at = "COALESCE(t.started_at, t.start_s)"
        columns = ", ".join(f"t.{column}" for column in SUMMARY_COLUMNS)
        before = "" if after is None else f"AND ({at}, t.rowid) < (:at, :number)"
        rows = self._db.execute(
            f"SELECT t.rowid AS number, {at} AS at, {columns}, NULL AS review, NULL AS judged "
            "FROM tracks t INDEXED BY tracks_feed_outcome WHERE t.outcome = 'not_assessable' AND t.face_px >= :least "
            f"AND t.final = 1 AND t.crop IS NOT NULL AND NOT {STATIC_SQL} AND NOT EXISTS "
            f"(SELECT 1 FROM review_states r WHERE r.source = t.source AND r.track = t.track) {before} "
            f"ORDER BY {at} DESC, t.rowid DESC LIMIT :most",
            {"least": WORTH_PX, "most": limit, **({} if after is None else {"at": after[0], "number": after[1]})},
        )
        return [checked_track(row, self.path) for row in rows]

    def decision_of(self, source: str, track: str) -> dict[str, Any] | None:
        """Current ``outcome``, ``identity``, ``name`` and ``reasons`` (JSON) of a track; None if there is no such track."""
        query = "SELECT outcome, identity, name, reasons FROM tracks WHERE source = ? AND track = ?"
        row = self._db.execute(query, (source, track)).fetchone()
        return None if row is None else dict(row)

    def _state(self, source: str, track: str, identity: int | None, persons: int) -> str | None:
        """The state that results from the verdicts about one matched person. Only the newest verdict of each user counts."""
        latest: dict[str, str] = {}
        for row in self._db.execute(
            "SELECT user, verdict FROM reviews WHERE source = ? AND track = ? AND identity IS ? ORDER BY id",
            (source, track, identity),
        ):
            latest.pop(row[0], None)
            latest[str(row[0])] = str(row[1])
        newest = list(latest.values())[-1]
        if newest == "open":
            return None
        if newest == "rejected":
            return "rejected"
        return "confirmed" if sum(verdict == "confirmed" for verdict in latest.values()) >= persons else "second"

    def _set_state(self, row: sqlite3.Row, state: str | None, identity: int | None) -> None:
        """Write the state. A rejected match becomes ``no_match``; when the rejection is withdrawn, it becomes a match again."""
        key = row["source"], row["track"]
        if row["state"] == "rejected" and state != "rejected" and identity is not None:
            name = self._db.execute("SELECT name FROM identities WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
            self._db.execute("DELETE FROM review_states WHERE source = ? AND track = ?", key)  # else the trigger undoes it
            reasons = [reason for reason in json.loads(row["reasons"]) if reason != REJECTED]
            if name is not None:
                self._db.execute(
                    "UPDATE tracks SET outcome = 'match', identity = ?, name = ?, reasons = ? WHERE source = ? AND track = ?",
                    (identity, name[0], json.dumps(reasons), *key),
                )
        if state is None:
            self._db.execute("DELETE FROM review_states WHERE source = ? AND track = ?", key)
            return
        self._db.execute(
            "INSERT INTO review_states VALUES (?, ?, ?, ?, ?) ON CONFLICT (source, track) DO UPDATE SET "
            "state = excluded.state, identity = excluded.identity, at = excluded.at",
            (*key, state, identity, time.time()),
        )
        if state == "rejected" and row["outcome"] == "match":
            self._db.execute("UPDATE tracks SET outcome = outcome WHERE source = ? AND track = ?", key)  # fires the trigger

    def _audit(self, row: sqlite3.Row, verdict: str, state: str | None, identity: int | None) -> None:
        """Write the verdict to the audit log: ids and scores, but no names, because the log is never erased."""
        self.log_audit(
            "review",
            track=self._db.execute(
                "SELECT rowid FROM tracks WHERE source = ? AND track = ?", (row["source"], row["track"])
            ).fetchone()[0],
            identity=identity,
            verdict=verdict,
            state=state or "open",
            score=row["score"],
            threshold=row["threshold"],
            recognizer=row["recognizer"],
            database=self.path.name,
        )
