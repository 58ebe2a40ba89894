"""Publishes alerts to an MQTT broker, and says what the broker says when it refuses."""

from __future__ import annotations

import secrets
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.errors import redact_url
from stages.alerts.sinks import ANSWER_S, is_address
from watchlist.alerts import Alert

OLD_PROTOCOL = "Unsupported protocol version"


class _OtherProtocol(OSError):
    """The broker may know another version of MQTT only."""


class Mqtt:
    """Publishes each alert at QoS 1 under ``TOPIC/CAMERA``: ``mqtt://user:password@host:port/TOPIC``, ``mqtts://`` for TLS.

    MQTT 5 is spoken first, because only there a broker says that it did not accept a message; 3.1.1 with brokers that know no
    other.
    """

    name = "mqtt"

    def __init__(self, url: str) -> None:
        if not is_address(url, "mqtt", "mqtts"):
            raise ValueError(f"alerts.mqtt = {redact_url(url)!r}: must be mqtt://[user:password@]host[:port][/topic] or mqtts://")
        self._parts = urlsplit(url)
        self._topic = unquote(self._parts.path.strip("/")) or "farsight/alerts"
        if any(sign in self._topic for sign in "#+\0"):
            raise ValueError(f"alerts.mqtt: the topic {self._topic!r} must not hold # or +")
        self._client: Any = None
        self._modern = True
        self._answers: dict[int, Any] = {}

    def send(self, alert: Alert) -> None:
        try:
            client = self._client or self._connect()
            message = client.publish(f"{self._topic}/{alert.source}", alert.content, qos=1)
            message.wait_for_publish(ANSWER_S)
            if not message.is_published():
                raise OSError("the broker does not answer")
            said = self._answers.pop(message.mid, None)
            if said is not None and said.is_failure:
                raise OSError(f"the broker did not accept the alert: {said}")
        except Exception:
            self.close()  # with it goes the client's queue, which would send the alert once more for each try
            raise

    def close(self) -> None:
        self._answers.clear()
        if self._client is not None:
            self._client.loop_stop()
            self._client.disconnect()
            self._client = None

    def _connect(self) -> Any:
        if self._modern:
            try:
                return self._attempt(modern=True)
            except _OtherProtocol:
                self.close()
        client = self._attempt(modern=False)
        self._modern = False
        return client

    def _attempt(self, modern: bool) -> Any:
        """A connected client. Raises OSError with the broker's reason."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        protocol = MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"farsight-{secrets.token_hex(6)}", protocol=protocol)
        if self._parts.username:
            client.username_pw_set(unquote(self._parts.username), unquote(self._parts.password or ""))
        secure = self._parts.scheme == "mqtts"
        if secure:
            client.tls_set()
        assert self._parts.hostname is not None
        answered, said = threading.Event(), []

        def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            said.append(reason)
            answered.set()

        def on_publish(client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
            self._answers[number] = reason

        client.on_connect, client.on_publish = on_connect, on_publish
        client.connect(self._parts.hostname, self._parts.port or (8883 if secure else 1883))
        self._client = client
        client.loop_start()
        if not answered.wait(ANSWER_S):
            raise _OtherProtocol("the broker does not answer")
        if said[0].is_failure:
            if str(said[0]) == OLD_PROTOCOL:
                raise _OtherProtocol(str(said[0]))
            raise OSError(f"the broker refuses the connection: {said[0]}")
        return client
