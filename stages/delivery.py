"""Brings kept alerts to their receivers: a file, a webhook, an MQTT broker. Each has a thread of its own and its own pace."""

from __future__ import annotations

import hashlib
import hmac
import random
import secrets
import sqlite3
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from pipeline.errors import redact, redact_url
from watchlist.alerts import Alert
from watchlist.lines import append_whole
from watchlist.store import Store

BACKOFF_S = (1.0, 60.0)
ANSWER_S = 5.0
LAST_CHANCE_S = 2.0
RECHECK_S = 30.0
HAS_IT = frozenset({409})
NEVER_WILL = frozenset({400, 413, 415, 422})  # our fault, not the receiver's state: asking again gives the same answer


class Refused(Exception):
    """The receiver will never take this alert; it is set aside so that it does not stop those behind it."""


class Sink(Protocol):
    """One receiver of alerts."""

    name: str

    def send(self, alert: Alert) -> None:
        """Returns once the receiver has it. Raises Refused, or any other exception to be asked again later."""

    def close(self) -> None: ...


def sinks_of(out: Path, settings: dict[str, Any]) -> list[Sink]:
    """The receivers that are configured. Raises ValueError for an address that is none."""
    sinks: list[Sink] = [Lines(out / "alerts.jsonl")]
    if url := settings.get("webhook"):
        sinks.append(Webhook(str(url), settings.get("webhook_secret")))
    if url := settings.get("mqtt"):
        sinks.append(Mqtt(str(url)))
    return sinks


def _is_address(url: str, *schemes: str) -> bool:
    """Whether it has one of the schemes and a host, and a port that is a number if it has one."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in parts.path
    except ValueError:
        return False


class Lines:
    """Adds a line to a file for each alert."""

    name = "file"

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, alert: Alert) -> None:
        append_whole(self._path, alert.content + "\n")

    def close(self) -> None:
        return


class Webhook:
    """Posts each alert as JSON. ``Idempotency-Key`` is the alert's key, percent-encoded; with a ``secret``,
    ``X-Farsight-Signature`` is ``t=<Unix time>,v1=<hex>``, where hex is HMAC-SHA256 of ``<Unix time>.<body>``."""

    name = "webhook"

    def __init__(self, url: str, secret: str | None = None) -> None:
        if not _is_address(url, "http", "https"):
            raise ValueError(f"alerts.webhook = {redact_url(url)!r}: must be an http:// or https:// address")
        self._url, self._secret = url, secret
        self._client: Any = None

    def send(self, alert: Alert) -> None:
        import httpx

        if self._client is None:
            self._client = httpx.Client(timeout=ANSWER_S)
        headers = {"Content-Type": "application/json", "Idempotency-Key": quote(alert.key, safe="/")}
        if self._secret:
            now = str(int(time.time()))
            mac = hmac.new(self._secret.encode(), f"{now}.{alert.content}".encode(), hashlib.sha256).hexdigest()
            headers["X-Farsight-Signature"] = f"t={now},v1={mac}"
        answer = self._client.post(self._url, content=alert.content.encode(), headers=headers)
        if answer.status_code in NEVER_WILL:
            raise Refused(f"answered {answer.status_code}")
        if not answer.is_success and answer.status_code not in HAS_IT:
            raise OSError(f"answered {answer.status_code}")

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


class Mqtt:
    """Publishes each alert at QoS 1 under ``TOPIC/CAMERA``: ``mqtt://user:password@host:port/TOPIC``, ``mqtts://`` for TLS."""

    name = "mqtt"

    def __init__(self, url: str) -> None:
        if not _is_address(url, "mqtt", "mqtts"):
            raise ValueError(f"alerts.mqtt = {redact_url(url)!r}: must be mqtt://[user:password@]host[:port][/topic] or mqtts://")
        self._parts = urlsplit(url)
        self._topic = self._parts.path.strip("/") or "farsight/alerts"
        self._client: Any = None

    def send(self, alert: Alert) -> None:
        try:
            client = self._client or self._connect()
            message = client.publish(f"{self._topic}/{alert.source}", alert.content, qos=1)
            message.wait_for_publish(ANSWER_S)
            if not message.is_published():
                raise OSError("the broker does not answer")
        except Exception:
            self.close()  # with it goes the client's queue, which would send the alert once more for each try
            raise

    def close(self) -> None:
        if self._client is not None:
            self._client.loop_stop()
            self._client.disconnect()
            self._client = None

    def _connect(self) -> Any:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        client = Client(CallbackAPIVersion.VERSION2, client_id=f"farsight-{secrets.token_hex(6)}")
        if self._parts.username:
            client.username_pw_set(unquote(self._parts.username), unquote(self._parts.password or ""))
        secure = self._parts.scheme == "mqtts"
        if secure:
            client.tls_set()
        assert self._parts.hostname is not None
        connected = threading.Event()
        client.on_connect = lambda *_: connected.set()
        client.connect(self._parts.hostname, self._parts.port or (8883 if secure else 1883))
        client.loop_start()
        self._client = client
        connected.wait(ANSWER_S)
        return client


class Delivery:
    """Sends a sink what it has not had yet, in order, again and again until it has it; the waits between failures double."""

    def __init__(self, sink: Sink, database: Path) -> None:
        self._sink, self._database = sink, database
        self._counts: Counter[str] = Counter()
        self._waiting = 0
        self._new, self._stopping = threading.Event(), threading.Event()
        self._idle = threading.Event()
        self._new.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is something new to send."""
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
        return {**self._counts, f"waiting for {self._sink.name}": self._waiting}

    def _run(self) -> None:
        store = Store(self._database)
        wait_s = BACKOFF_S[0]
        while not self._stopping.is_set():
            self._new.clear()
            try:
                while alerts := store.undelivered(self._sink.name):
                    self._waiting = len(alerts)
                    for alert in alerts:
                        if self._stopping.is_set():
                            break
                        self._send(store, alert)
                        wait_s = BACKOFF_S[0]
                    if self._stopping.is_set():
                        break
                self._idle.set()
                self._new.wait(RECHECK_S)
            except Exception as error:  # a receiver fails in whatever way it pleases
                self._count(f"trouble: {self._sink.name}: {self._why(error)}")
                self._stopping.wait(wait_s * random.uniform(0.75, 1.25))
                wait_s = min(2 * wait_s, BACKOFF_S[1])
        self._sink.close()
        store.close()

    def _send(self, store: Store, alert: Alert) -> None:
        try:
            self._sink.send(alert)
            self._count(f"delivered to {self._sink.name}")
        except Refused as refusal:
            self._count(f"trouble: {self._sink.name} refused an alert: {refusal}")
            store.note("alert refused", sink=self._sink.name, kind=alert.kind, identity=alert.identity, why=str(refusal))
        store.delivered(self._sink.name, alert.key)
        self._waiting = max(0, self._waiting - 1)

    def _count(self, what: str) -> None:
        self._counts[what] += 1

    @staticmethod
    def _why(error: Exception) -> str:
        if isinstance(error, sqlite3.Error):
            return str(error)
        return redact(getattr(error, "strerror", None) or str(error) or type(error).__name__)
