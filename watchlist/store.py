"""The database as a whole. It is the only source of truth: indexes, JSONL files and reports are derived from it."""

from __future__ import annotations

from watchlist.accounts import Accounts
from watchlist.alert_tables import Alerts
from watchlist.audit import AuditLog
from watchlist.people import People
from watchlist.preferences import Preferences
from watchlist.recordings import Recordings
from watchlist.tracks import Tracks


class Store(People, Tracks, Recordings, Alerts, Accounts, Preferences, AuditLog):
    """One database with all tables: watchlist, tracks, recordings, alerts, accounts and the console's settings."""
