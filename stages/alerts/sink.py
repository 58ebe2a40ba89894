"""The interface of an alert sink, and the two ways in which a sink reports that an alert was not accepted."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import urlsplit

from watchlist.alert_tables import Alert

ANSWER_TIMEOUT_S = 5.0


class AlertRejected(Exception):
    """The receiver will never accept this alert. It is dropped, so that it does not block the alerts behind it."""


class RetryLater(OSError):
    """The receiver asks for a pause.

    Args:
        why: its answer, for the log.
        wait_s: length of the pause in seconds.
    """

    def __init__(self, why: str, wait_s: float) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Sink(Protocol):
    """One receiver of alerts. ``name`` identifies it in the database, in counters and in the log."""

    name: str

    def send(self, alert: Alert) -> None:
        """Return once the receiver has the alert.

        Raises:
            AlertRejected: it will never accept this alert.
            RetryLater: it asks for a pause.
            Exception: any other failure; the alert is sent again later.
        """

    def close(self) -> None: ...


def is_valid_address(url: str, *schemes: str) -> bool:
    """Return whether a URL has one of the schemes, a host, and a numeric port if any."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in parts.path
    except ValueError:
        return False
