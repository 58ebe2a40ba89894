"""Tells people at once: brings the alerts that were kept with the tracks to their receivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.protocol import Batch
from stages.alerts.delivery import Delivery, sinks_of


class Alert:
    """The last stage of live watching.

    Record decides what is told and keeps it in the database, in the transaction that writes the track (`AlertOutbox`). This stage
    delivers it: at least once and in order, whatever fails or restarts, until each receiver has it. An alert's ``key`` stays the
    same when it is sent again.

    Args:
        out: the output folder; each alert is a line of its ``alerts.jsonl``.
        database: the database that keeps them.
        alerts: ``webhook``, ``webhook_secret`` and ``mqtt`` say where else alerts go.
        keep_trying: kept for settings files of earlier versions; delivery never gives up.
    """

    writes = True  # one of it for the whole run

    def __init__(self, out: Path, database: Path, alerts: dict[str, Any] | None = None, keep_trying: bool = True) -> None:
        self._database = database
        self._sinks = sinks_of(out, alerts or {})

    def open(self) -> None:
        self._deliveries = [Delivery(sink, self._database) for sink in self._sinks]

    def process(self, batch: Batch) -> Batch:
        for delivery in self._deliveries:
            delivery.wake()
        return batch

    def flush(self) -> Batch:
        """Give the receivers a last chance; what they do not take now waits in the database for the next start."""
        for delivery in self._deliveries:
            delivery.wait()
        return []

    def close(self) -> None:
        for delivery in self._deliveries:
            delivery.close()

    def counters(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for delivery in self._deliveries:
            counts |= delivery.counters()
        return counts
