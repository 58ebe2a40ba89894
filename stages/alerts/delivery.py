"""Brings kept alerts to their receivers: a file, a webhook, an MQTT broker. Each has a thread of its own and its own pace."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.errors import redact
from stages.alerts.mqtt import Mqtt
from stages.alerts.sinks import Lines, NotNow, Refused, Sink
from stages.alerts.webhook import Webhook
from watchlist.alerts import Alert
from watchlist.database import StoreError
from watchlist.store import Store

BACKOFF_S = (1.0, 60.0)
LAST_CHANCE_S = 2.0
RECHECK_S = 30.0
UNREADABLE_S = 20.0  # a database that could not be read for so long is a fault of the whole
MOST_TROUBLES = 30  # of different kinds: receivers may answer something else each time


def sinks_of(out: Path, settings: dict[str, Any]) -> list[Sink]:
    """The receivers that are configured. Raises ValueError for an address that is none."""
    sinks: list[Sink] = [Lines(out / "alerts.jsonl")]
    if url := settings.get("webhook"):
        sinks.append(Webhook(str(url), settings.get("webhook_secret")))
    if url := settings.get("mqtt"):
        sinks.append(Mqtt(str(url)))
    return sinks


class Delivery:
    """Sends a sink what it has not had yet, in order, again and again until it has it.

    The waits between failures double. A database that cannot be opened or read is tried again like a receiver that fails.
    """

    def __init__(self, sink: Sink, database: Path) -> None:
        self._sink, self._database = sink, database
        self._counts: Counter[str] = Counter()
        self._waiting = 0
        self._wait_s = BACKOFF_S[0]
        self._unreadable_since: float | None = None
        self._lock = threading.Lock()
        self._new, self._stopping = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._new.set()
        self._thread = threading.Thread(target=self._run, name=f"alerts to {sink.name}", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There may be something new to send."""
        with self._lock:
            self._idle.clear()
            self._new.set()

    def wait(self) -> None:
        """Until everything is delivered, but not for long."""
        self._idle.wait(LAST_CHANCE_S)

    def close(self) -> None:
        self._stopping.set()
        self._new.set()
        self._thread.join(LAST_CHANCE_S)

    def counters(self) -> dict[str, int]:
        """What was delivered and refused, how many wait; ``fault: ...`` is 1 while no alert can be delivered at all."""
        counts = {**self._counts, f"waiting for {self._sink.name}": self._waiting}
        if not self._thread.is_alive() and not self._stopping.is_set():
            counts[f"fault: alerts to {self._sink.name}: its thread has ended"] = 1
        elif (since := self._unreadable_since) is not None and time.monotonic() - since > UNREADABLE_S:
            counts[f"fault: alerts to {self._sink.name}: the database cannot be read"] = 1
        return counts

    def _run(self) -> None:
        store: Store | None = None
        while not self._stopping.is_set():
            self._new.clear()
            try:
                store = store or Store(self._database, must_exist=True)
                self._send_all(store)
                with self._lock:
                    if not self._new.is_set():
                        self._idle.set()
                self._new.wait(RECHECK_S)
            except Exception as error:  # a receiver fails in whatever way it pleases
                if isinstance(error, sqlite3.Error | StoreError):
                    self._unreadable_since = self._unreadable_since or time.monotonic()
                self._count(f"trouble: {self._sink.name}: {self._why(error)}")
                self._stopping.wait(error.wait_s if isinstance(error, NotNow) else self._wait_s * random.uniform(0.75, 1.25))
                self._wait_s = min(2 * self._wait_s, BACKOFF_S[1])
        with contextlib.suppress(Exception):
            self._sink.close()
        if store is not None:
            store.close()

    def _send_all(self, store: Store) -> None:
        """Send what waits, until nothing does."""
        while not self._stopping.is_set():
            alerts = store.undelivered(self._sink.name)
            self._unreadable_since = None
            self._waiting = len(alerts)
            if not alerts:
                return
            for alert in alerts:
                if self._stopping.is_set():
                    return
                self._send(store, alert)
                self._wait_s = BACKOFF_S[0]

    def _send(self, store: Store, alert: Alert) -> None:
        try:
            self._sink.send(alert)
            self._count(f"delivered to {self._sink.name}")
        except Refused as refusal:
            self._count(f"trouble: {self._sink.name} refused an alert: {refusal}")
            store.log_audit("alert refused", sink=self._sink.name, kind=alert.kind, identity=alert.identity, why=str(refusal))
        store.mark_delivered(self._sink.name, alert.key)
        self._waiting = max(0, self._waiting - 1)

    def _count(self, what: str) -> None:
        known = what in self._counts or not what.startswith("trouble: ") or len(self._counts) < MOST_TROUBLES
        self._counts[what if known else f"trouble: {self._sink.name}: other"] += 1

    @staticmethod
    def _why(error: Exception) -> str:
        if isinstance(error, sqlite3.Error):
            return str(error)
        return redact(getattr(error, "strerror", None) or str(error) or type(error).__name__)
