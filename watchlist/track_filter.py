"""Columns of the track table, and the filter that selects tracks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from watchlist.static_tracks import STATIC_SQL

TRACK_COLUMNS = (
    "source track version final start_s end_s face_px shots template recognizer quality best_pts_s best_box crop restored path "
    "outcome identity name nearest score threshold fpir reasons started_at ended_at"
).split()
SUMMARY_COLUMNS = tuple(c for c in TRACK_COLUMNS if c not in ("template", "path"))
LIVE_ONLY = "source NOT IN (SELECT name FROM recordings)"  # SQL: tracks of live cameras


@dataclass(frozen=True)
class TrackFilter:
    """Selects tracks. A field that is None selects all.

    Attributes:
        source: name of the recording or camera.
        since_s, until_s: PTS seconds; tracks that overlap this range.
        since_at, until_at: Unix times; tracks that overlap this range. Tracks without a time of day are left out.
        least_px: smallest face width in pixels.
        outcome: ``match``, ``no_match`` or ``not_assessable``.
        started_after: Unix time at or after which the track began. Tracks without a time of day are left out.
        sources: names of the only sources that a user may see.
        static: whether the tracks are static (`watchlist.static_tracks`).
    """

    source: str | None = None
    since_s: float | None = None
    since_at: float | None = None
    until_at: float | None = None
    least_px: float | None = None
    until_s: float | None = None
    outcome: str | None = None
    started_after: float | None = None
    sources: tuple[str, ...] | None = None
    static: bool | None = None

    def clause(self) -> tuple[str, dict[str, Any]]:
        """The WHERE clause over the table ``t`` ("" if all tracks are selected), and its parameters."""
        conditions = {
            "source": "t.source = :source",
            "since_s": "t.end_s >= :since_s",
            "since_at": "t.ended_at >= :since_at",
            "until_at": "t.started_at <= :until_at",
            "least_px": "t.face_px >= :least_px",
            "until_s": "t.start_s <= :until_s",
            "outcome": "t.outcome = :outcome",
            "started_after": "t.started_at >= :started_after",
            "static": f"{STATIC_SQL} = :static",
            "sources": "t.source IN (SELECT value FROM json_each(:sources))",
        }
        parameters = {key: value for key in conditions if (value := getattr(self, key)) is not None}
        if self.sources is not None:
            parameters["sources"] = json.dumps(self.sources)
        return ("WHERE " + " AND ".join(conditions[key] for key in parameters)) if parameters else "", parameters


ALL_TRACKS = TrackFilter()
