"""Print each alert on the terminal when it is raised."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    from watchlist.store import Store


class AlertPrinter:
    """Prints alerts that are stored after it was created. Call `print_new` at intervals."""

    def __init__(self, store: Store, console: Console) -> None:
        self._store, self._console = store, console
        self._last = self._store.last_alert_number()

    def print_new(self) -> None:
        """Print new alerts. If the database cannot be read at the moment, the next call prints them."""
        try:
            self._last = min(self._last, self._store.last_alert_number())  # a purge may lower the numbers
            fresh = self._store.alerts_after(self._last)
        except sqlite3.Error:
            return
        for number, alert in fresh:
            self._last = number
            style = "bold red" if alert.kind == "match" else "yellow"
            self._console.print(alert_line(json.loads(alert.content), alert.at), markup=False, soft_wrap=True, style=style)


def alert_line(content: dict[str, Any], at: float) -> str:
    """One line for an alert: local time, kind, camera, name, score, threshold and face width."""
    when = datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S %Z")
    score = "" if content["score"] is None else f", score {content['score']:.3f} (threshold {content['threshold']:.3f})"
    crop = f", {content['crop']}" if content["crop"] else ""
    return f"{when} {content['kind']} at {content['camera']}: {content['name']}{score}, {content['face_px']:.0f} px{crop}"
