"""The database: the only truth. Indexes, JSON lines and reports are made from it and can be made again."""

from __future__ import annotations

from watchlist.alerts import Alerts
from watchlist.people import People
from watchlist.recordings import Recordings
from watchlist.tracks import Tracks


class Store(People, Tracks, Recordings, Alerts):
    """All of it: the watchlist, what was seen, what was told."""
