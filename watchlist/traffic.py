"""Estimate the number of false alarms from the number of people who pass a camera."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from watchlist.database import StoreError
from watchlist.store import Store
from watchlist.tracks import TrackFilter

DAY_S = 86_400.0
LEAST_S = 60.0  # shortest observation from which traffic per day is estimated
EVERY_S = 15.0  # seconds between two queries
ASSESSED = ("match", "no_match")


def expected_false_alarms(summaries: Iterable[Mapping[str, Any]], fpir: float) -> dict[str, float]:
    """Expected number of false alarms of each source, if every assessable track is a passer-by who is not on the list.

    Args:
        summaries: rows of `watchlist.tracks.Tracks.summaries`.
        fpir: false alarms per passer-by, 0 to 1.
    """
    found: dict[str, float] = {}
    for row in summaries:
        passers_by = row["tracks"] if row["outcome"] in ASSESSED else 0
        found[row["source"]] = found.get(row["source"], 0.0) + fpir * passers_by
    return found


class CameraTraffic:
    """Expected false alarms per day of live cameras, from their traffic in the last 24 hours.

    Args:
        store: the database of the tracks.
        fpir: false alarms per passer-by, 0 to 1.
        begun: Unix time at which `live` started.
    """

    def __init__(self, store: Store, fpir: float, begun: float) -> None:
        self._store, self._fpir, self._begun = store, fpir, begun
        self._looked = -EVERY_S
        self._found: dict[str, float] = {}

    def false_alarms_a_day(self, cameras: Iterable[str]) -> dict[str, float]:
        """Expected false alarms per day by camera; empty in the first `LEAST_S` seconds."""
        now = time.time()
        if time.monotonic() - self._looked >= EVERY_S:
            self._looked = time.monotonic()
            since = max(self._begun, now - DAY_S)
            per_day = DAY_S / max(LEAST_S, now - since)
            with suppress(StoreError, sqlite3.Error):  # busy or damaged, which is reported elsewhere: keep the former figures
                rows = self._store.summaries(TrackFilter(started_after=since))
                self._found = {source: per_day * count for source, count in expected_false_alarms(rows, self._fpir).items()}
        if now - self._begun < LEAST_S:
            return {}
        return {camera: self._found.get(camera, 0.0) for camera in cameras}
