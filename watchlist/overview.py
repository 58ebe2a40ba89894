"""Figures for the console's settings page: traffic, and the date of the calibration."""

from __future__ import annotations

import json
from typing import Any

from watchlist.database import Database

DAY_S = 86_400.0
DAYS = 7  # length of the period over which traffic is counted


class Overview(Database):
    """Reads counts from the tables of tracks and calibrations."""

    def traffic(self, now: float, sources: tuple[str, ...] | None = None) -> dict[str, Any]:
        """Count the finished assessable tracks of the last `DAYS` days. Tracks without a time of day are left out.

        Args:
            now: Unix time.
            sources: only these sources; None: all.

        Returns:
            ``tracks``: their number; ``days``: days since the first of them began, at least one hour (0.0 if there are none);
            ``per_day``: tracks per day.
        """
        row = self._db.execute(
            "SELECT COUNT(*), MIN(started_at) FROM tracks WHERE final = 1 AND outcome <> 'not_assessable' "
            "AND started_at BETWEEN :first AND :now AND (:sources IS NULL OR source IN (SELECT value FROM json_each(:sources)))",
            {"first": now - DAYS * DAY_S, "now": now, "sources": None if sources is None else json.dumps(sources)},
        ).fetchone()
        tracks = int(row[0])
        days = 0.0 if not tracks else max(1 / 24, (now - float(row[1])) / DAY_S)
        return {"per_day": tracks / days if tracks else 0.0, "tracks": tracks, "days": days}

    def calibration_made(self) -> dict[str, Any] | None:
        """The newest calibration on the user's own footage: ``made`` (Unix time) and number of ``tracks``; None: never."""
        row = self._db.execute("SELECT made, tracks FROM calibrations ORDER BY made DESC LIMIT 1").fetchone()
        return None if row is None else dict(row)
