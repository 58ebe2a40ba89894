"""Sends the alerts that Record has stored with the tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.protocol import Batch
from stages.alerts.configured_sinks import build_sinks
from stages.alerts.retry_delivery import Delivery


class Alert:
    """Last stage of the live graph.

    The stage `Record` decides which alerts are raised and stores them in the transaction that writes the track
    (`stages.alerts.outbox`). This stage delivers them to every sink, at least once and in order, across failures and restarts.
    An alert that is sent again has the same ``key``.

    Args:
        out: output folder; each alert is a line of its ``alerts.jsonl``.
        database: the database that stores the alerts.
        alerts: section ``alerts`` of the settings: ``webhook``, ``webhook_secret`` and ``mqtt`` name further sinks.
        keep_trying: accepted for settings files of earlier versions; delivery always retries.
    """

    writes = True  # one instance per run

    def __init__(self, out: Path, database: Path, alerts: dict[str, Any] | None = None, keep_trying: bool = True) -> None:
        self._database = database
        self._sinks = build_sinks(out, alerts or {})

    def open(self) -> None:
        self._deliveries = [Delivery(sink, self._database) for sink in self._sinks]

    def process(self, batch: Batch) -> Batch:
        for delivery in self._deliveries:
            delivery.notify()
        return batch

    def flush(self) -> Batch:
        """Try pending alerts once more. What is not delivered stays in the database for the next start."""
        for delivery in self._deliveries:
            delivery.drain()
        return []

    def close(self) -> None:
        for delivery in self._deliveries:
            delivery.close()

    def counters(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for delivery in self._deliveries:
            counts |= delivery.counters()
        return counts
