"""Figures that the settings are explained with."""

from __future__ import annotations

import json
from typing import Any

from watchlist.database import Database

DAY_S = 86_400.0
DAYS = 7


class Overview(Database):
    """Reads sums of the tracks' table."""

    def traffic(self, now: float, sources: tuple[str, ...] | None = None) -> dict[str, Any]:
        """How many passers-by were compared with the list; with ``sources`` those of these alone.

        Returns:
            ``per_day``: finished assessable tracks a day, over the last `DAYS` days with any (0 where no hour is known);
            ``tracks``: how many these were; ``days``: over how long.
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
        """When thresholds were fitted to own footage (``made``, Unix time), and on how many ``tracks``; None: never."""
        row = self._db.execute("SELECT made, tracks FROM calibrations ORDER BY made DESC LIMIT 1").fetchone()
        return None if row is None else dict(row)
