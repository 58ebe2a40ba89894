"""The database as a whole. It is the only source of truth: indexes, JSONL files and reports are derived from it."""

from __future__ import annotations

from watchlist.alert_tables import Alerts
from watchlist.people import People
from watchlist.recordings import Recordings
from watchlist.tracks import Tracks


class Store(People, Tracks, Recordings, Alerts):
    """One database with all tables: watchlist, tracks, recordings and alerts."""
