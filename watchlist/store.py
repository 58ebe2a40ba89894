"""The database as a whole. It is the only source of truth: indexes, JSONL files and reports are derived from it."""

from __future__ import annotations

from watchlist.accounts import Accounts
from watchlist.alert_tables import Alerts
from watchlist.audit import AuditLog
from watchlist.cases import Cases
from watchlist.changes import Changes
from watchlist.feed import Feed
from watchlist.overview import Overview
from watchlist.people import People
from watchlist.people_search import PeopleSearch
from watchlist.preferences import Preferences
from watchlist.recordings import Recordings
from watchlist.reviews import Reviews
from watchlist.tracks import Tracks
from watchlist.unknowns import Ignored


class Store(
    People,
    Tracks,
    Recordings,
    Alerts,
    Accounts,
    Preferences,
    AuditLog,
    Feed,
    Reviews,
    Cases,
    PeopleSearch,
    Ignored,
    Overview,
    Changes,
):
    """One database with all tables: watchlist, tracks, recordings, alerts, accounts, settings, reviews and cases."""
