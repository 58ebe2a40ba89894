"""The sink that is always on: ``alerts.jsonl`` in the output folder."""

from __future__ import annotations

from pathlib import Path

from watchlist.alert_tables import Alert
from watchlist.jsonl import append_text


class JsonlSink:
    """Appends one line of JSON per alert to a file."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> None:
        append_text(self._path, alert.content + "\n")

    def close(self) -> None:
        return
