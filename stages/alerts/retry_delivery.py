"""Delivers stored alerts to one sink, in a thread of its own, and retries with growing pauses until the sink has them."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path

from pipeline.errors import redact
from stages.alerts.sink import AlertRejected, RetryLater, Sink
from watchlist.alert_tables import Alert
from watchlist.database import StoreError
from watchlist.store import Store

BACKOFF_S = (1.0, 60.0)  # first and longest wait between attempts
DRAIN_S = 2.0  # how long shutdown waits for pending alerts
RECHECK_S = 30.0  # the database is checked this often without a notification
UNHEALTHY_AFTER_S = 20.0  # a database that is unreadable for longer fails the health check
MAX_TROUBLE_KINDS = 30  # distinct counters; further ones are counted together, since answers may differ each time


class Delivery:
    """Delivers stored alerts to one sink, in order and at least once.

    A thread sends every alert that the sink has not received yet. After a failure it waits and sends the same alert again; the
    wait doubles up to a minute. A database that cannot be opened or read is retried in the same way.

    Args:
        sink: the receiver.
        database: the database that stores the alerts.
    """

    def __init__(self, sink: Sink, database: Path) -> None:
        self._sink, self._database = sink, database
        self._counts: Counter[str] = Counter()
        self._waiting = 0
        self._backoff_s = BACKOFF_S[0]
        self._unreadable_since: float | None = None
        self._lock = threading.Lock()
        self._notified, self._stopping = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._notified.set()
        self._thread = threading.Thread(target=self._run, name=f"alerts to {sink.name}", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        """Report that there may be new alerts."""
        with self._lock:
            self._idle.clear()
            self._notified.set()

    def drain(self) -> None:
        """Wait until everything is delivered, at most `DRAIN_S` seconds."""
        self._idle.wait(DRAIN_S)

    def close(self) -> None:
        """Stop the thread. Alerts that were not delivered stay in the database."""
        self._stopping.set()
        self._notified.set()
        self._thread.join(DRAIN_S)

    def counters(self) -> dict[str, int]:
        """Return the numbers of delivered, rejected and waiting alerts; ``fault: ...`` is 1 while none can be delivered."""
        counts = {**self._counts, f"waiting for {self._sink.name}": self._waiting}
        if not self._thread.is_alive() and not self._stopping.is_set():
            counts[f"fault: alerts to {self._sink.name}: its thread has ended"] = 1
        elif (since := self._unreadable_since) is not None and time.monotonic() - since > UNHEALTHY_AFTER_S:
            counts[f"fault: alerts to {self._sink.name}: the database cannot be read"] = 1
        return counts

    def _run(self) -> None:
        store: Store | None = None
        while not self._stopping.is_set():
            self._notified.clear()
            try:
                store = store or Store(self._database, must_exist=True)
                self._send_all(store)
                with self._lock:
                    if not self._notified.is_set():
                        self._idle.set()
                self._notified.wait(RECHECK_S)
            except Exception as error:  # a sink may raise anything
                if isinstance(error, sqlite3.Error | StoreError):
                    self._unreadable_since = self._unreadable_since or time.monotonic()
                self._count(f"trouble: {self._sink.name}: {self._why(error)}")
                self._stopping.wait(
                    error.wait_s if isinstance(error, RetryLater) else self._backoff_s * random.uniform(0.75, 1.25)
                )
                self._backoff_s = min(2 * self._backoff_s, BACKOFF_S[1])
        with contextlib.suppress(Exception):
            self._sink.close()
        if store is not None:
            store.close()

    def _send_all(self, store: Store) -> None:
        """Send until no alert is waiting."""
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
                self._backoff_s = BACKOFF_S[0]

    def _send(self, store: Store, alert: Alert) -> None:
        try:
            self._sink.send(alert)
            self._count(f"delivered to {self._sink.name}")
        except AlertRejected as refusal:
            self._count(f"trouble: {self._sink.name} refused an alert: {refusal}")
            store.log_audit("alert refused", sink=self._sink.name, kind=alert.kind, identity=alert.identity, why=str(refusal))
        store.mark_delivered(self._sink.name, alert.key)
        self._waiting = max(0, self._waiting - 1)

    def _count(self, what: str) -> None:
        known = what in self._counts or not what.startswith("trouble: ") or len(self._counts) < MAX_TROUBLE_KINDS
        self._counts[what if known else f"trouble: {self._sink.name}: other"] += 1

    @staticmethod
    def _why(error: Exception) -> str:
        if isinstance(error, sqlite3.Error):
            return str(error)
        return redact(getattr(error, "strerror", None) or str(error) or type(error).__name__)
