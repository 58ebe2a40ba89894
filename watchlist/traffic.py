"""How many false alarms are to be expected, from the number of people who pass a camera."""

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
LEAST_S = 60.0  # traffic of less than a minute tells nothing of a day
EVERY_S = 15.0  # between two looks into the database
ASSESSED = ("match", "no_match")


def expected_false_alarms(summaries: Iterable[Mapping[str, Any]], fpir: float) -> dict[str, float]:
    """False alarms to be expected by source, were all its assessable tracks passers-by who are on no list.

    Args:
        summaries: rows of `watchlist.tracks.Tracks.summaries`.
        fpir: false alarms a passer-by.
    """
    found: dict[str, float] = {}
    for row in summaries:
        passers_by = row["tracks"] if row["outcome"] in ASSESSED else 0
        found[row["source"]] = found.get(row["source"], 0.0) + fpir * passers_by
    return found


class CameraTraffic:
    """Expected false alarms a day of live cameras, from their traffic of the last day.

    Args:
        store: the database of the tracks.
        fpir: false alarms a passer-by.
        begun: Unix time since which the cameras are watched.
    """

    def __init__(self, store: Store, fpir: float, begun: float) -> None:
        self._store, self._fpir, self._begun = store, fpir, begun
        self._looked = -EVERY_S
        self._found: dict[str, float] = {}

    def false_alarms_a_day(self, cameras: Iterable[str]) -> dict[str, float]:
        """By camera; empty in the first `LEAST_S` seconds."""
        now = time.time()
        if time.monotonic() - self._looked >= EVERY_S:
            self._looked = time.monotonic()
            since = max(self._begun, now - DAY_S)
            per_day = DAY_S / max(LEAST_S, now - since)
            with suppress(StoreError, sqlite3.Error):  # busy or damaged: others report that; the figures stay as they were
                rows = self._store.summaries(TrackFilter(started_after=since))
                self._found = {source: per_day * count for source, count in expected_false_alarms(rows, self._fpir).items()}
        if now - self._begun < LEAST_S:
            return {}
        return {camera: self._found.get(camera, 0.0) for camera in cameras}
