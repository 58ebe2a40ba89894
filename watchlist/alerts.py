"""The alert outbox: stored alerts, and which sinks have not received them yet."""

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
        at: Unix time.
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
    """The alerts' tables: an outbox that outlives the program."""

    def put_alerts(self, alerts: list[Alert], sinks: list[str]) -> int:
        """Keep alerts, each to be delivered to every sink; those kept before are left alone. Returns how many were new."""
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
        """The number of the newest alert, for `alerts_after`; 0 where there is none."""
        return int(self._db.execute("SELECT COALESCE(MAX(rowid), 0) FROM alerts").fetchone()[0])

    def alerts_after(self, number: int) -> list[tuple[int, Alert]]:
        """The alerts since the one of that number, oldest first, each with its own."""
        rows = self._db.execute("SELECT rowid, * FROM alerts WHERE rowid > ? ORDER BY rowid", (number,))
        return [(int(row[0]), Alert(**{key: row[key] for key in Alert.__annotations__})) for row in rows]

    def last_alert(self, source: str, *, track: str | None = None, identity: int | None = None) -> Alert | None:
        """The newest alert of a track, or the newest match of an identity at a source that was not withdrawn."""
        stands = (
            "identity = ? AND kind = 'match' AND NOT EXISTS (SELECT 1 FROM alerts w WHERE w.source = a.source AND "
            "w.track = a.track AND w.identity = a.identity AND w.kind = 'withdrawn' AND w.rowid > a.rowid)"
        )
        which = "track = ?" if track is not None else stands
        row = self._db.execute(
            f"SELECT * FROM alerts a WHERE source = ? AND {which} ORDER BY rowid DESC LIMIT 1",
            (source, track if track is not None else identity),
        ).fetchone()
        return None if row is None else Alert(**dict(row))

    def unalerted_match(self, source: str, identity: int, since: float) -> dict[str, Any] | None:
        """The columns of the newest track that matched somebody at a source, was seen since a Unix time and raised no alert."""
        row = self._db.execute(
            "SELECT * FROM tracks t WHERE source = ? AND identity = ? AND outcome = 'match' AND ended_at >= ? AND NOT EXISTS "
            "(SELECT 1 FROM alerts a WHERE a.source = t.source AND a.track = t.track) ORDER BY ended_at DESC LIMIT 1",
            (source, identity, since),
        ).fetchone()
        return None if row is None else dict(row)

    def undelivered(self, sink: str, limit: int = 100) -> list[Alert]:
        """What a sink has not had yet, oldest first."""
        rows = self._db.execute(
            "SELECT a.* FROM undelivered u JOIN alerts a ON a.key = u.alert WHERE u.sink = ? ORDER BY a.rowid LIMIT ?",
            (sink, limit),
        )
        return [Alert(**dict(row)) for row in rows]

    def mark_delivered(self, sink: str, key: str) -> None:
        self._db.execute("DELETE FROM undelivered WHERE sink = ? AND alert = ?", (sink, key))
