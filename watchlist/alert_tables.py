"""The tables of alerts, and of the sinks that have not received them yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from watchlist.database import Database


@dataclass(frozen=True)
class Alert:
    """A stored alert.

    Attributes:
        key: the same for every delivery attempt, so that receivers can drop duplicates.
        kind: ``match`` or ``withdrawn``.
        at: Unix time at which it was raised.
        source, track: the track that matched.
        identity: id of the matched person.
        content: the JSON that sinks send.
    """

    key: str
    kind: str
    at: float
    source: str
    track: str
    identity: int
    content: str


class Alerts(Database):
    """The tables of alerts and of deliveries that are still due. They survive a restart."""

    def put_alerts(self, alerts: list[Alert], sinks: list[str]) -> int:
        """Store alerts, each due at every sink. Alerts whose key is stored already are left unchanged.

        Returns:
            Number of new alerts.
        """
        new = 0
        with self.transaction():
            for alert in alerts:
                done = self._db.execute(
                    "INSERT OR IGNORE INTO alerts (key, kind, at, source, track, identity, content) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (alert.key, alert.kind, alert.at, alert.source, alert.track, alert.identity, alert.content),
                )
                if done.rowcount:
                    new += 1
                    self._db.executemany("INSERT INTO undelivered VALUES (?, ?)", [(sink, alert.key) for sink in sinks])
        return new

    def last_alert_number(self) -> int:
        """Row number of the newest alert, for `alerts_after`; 0 if there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(rowid), 0) FROM alerts").fetchone()[0])

    def alerts_after(self, number: int) -> list[tuple[int, Alert]]:
        """Alerts with a higher row number than ``number``, oldest first, each with its row number."""
        rows = self._db.execute("SELECT rowid, * FROM alerts WHERE rowid > ? ORDER BY rowid", (number,))
        return [(int(row[0]), Alert(**{key: row[key] for key in Alert.__annotations__})) for row in rows]

    def last_alert(self, source: str, *, track: str | None = None, identity: int | None = None) -> Alert | None:
        """Find the newest alert of a source.

        Args:
            source: name of the camera.
            track: only alerts of this track.
            identity: only match alerts of this person that were not withdrawn; ignored if ``track`` is given.
        """
        not_withdrawn = (
            "identity = ? AND kind = 'match' AND NOT EXISTS (SELECT 1 FROM alerts w WHERE w.source = a.source AND "
            "w.track = a.track AND w.identity = a.identity AND w.kind = 'withdrawn' AND w.rowid > a.rowid)"
        )
        condition = "track = ?" if track is not None else not_withdrawn
        row = self._db.execute(
            f"SELECT * FROM alerts a WHERE source = ? AND {condition} ORDER BY rowid DESC LIMIT 1",
            (source, track if track is not None else identity),
        ).fetchone()
        return None if row is None else Alert(**dict(row))

    def unalerted_match(self, source: str, identity: int, since: float) -> dict[str, Any] | None:
        """The newest track of a source that matched a person, ended at or after ``since`` (Unix time) and has no alert.

        Returns:
            The columns of the track; None if there is none.
        """
        row = self._db.execute(
            "SELECT * FROM tracks t WHERE source = ? AND identity = ? AND outcome = 'match' AND ended_at >= ? AND NOT EXISTS "
            "(SELECT 1 FROM alerts a WHERE a.source = t.source AND a.track = t.track) ORDER BY ended_at DESC LIMIT 1",
            (source, identity, since),
        ).fetchone()
        return None if row is None else dict(row)

    def undelivered(self, sink: str, limit: int = 100) -> list[Alert]:
        """Up to ``limit`` alerts still due at a sink, oldest first."""
        rows = self._db.execute(
            "SELECT a.* FROM undelivered u JOIN alerts a ON a.key = u.alert WHERE u.sink = ? ORDER BY a.rowid LIMIT ?",
            (sink, limit),
        )
        return [Alert(**dict(row)) for row in rows]

    def mark_delivered(self, sink: str, key: str) -> None:
        """Record that a sink has received an alert."""
        self._db.execute("DELETE FROM undelivered WHERE sink = ? AND alert = ?", (sink, key))
