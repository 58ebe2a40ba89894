"""What delivers alerts to one receiver, and how it says that one was not taken."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from watchlist.alerts import Alert
from watchlist.jsonl import append_whole

ANSWER_S = 5.0  # how long a receiver may take


class Refused(Exception):
    """The receiver will never take this alert; it is set aside so that it does not stop those behind it."""


class NotNow(OSError):
    """The receiver asks to be left alone for ``wait_s`` seconds."""

    def __init__(self, why: str, wait_s: float) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class Sink(Protocol):
    """One receiver of alerts."""

    name: str

    def send(self, alert: Alert) -> None:
        """Returns once the receiver has it. Raises Refused, NotNow, or any other exception to be asked again later."""

    def close(self) -> None: ...


class Lines:
    """Adds a line to a file for each alert."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> None:
        append_whole(self._path, alert.content + "\n")

    def close(self) -> None:
        return


def is_address(url: str, *schemes: str) -> bool:
    """Whether it has one of the schemes and a host, and a port that is a number if it has one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in parts.path
    except ValueError:
        return False
