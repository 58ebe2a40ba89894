"""The MQTT sink."""

from __future__ import annotations

import secrets
import threading
from typing import Any
from urllib.parse import unquote, urlsplit

from pipeline.errors import redact_url
from stages.alerts.sink import ANSWER_TIMEOUT_S, is_valid_address
from watchlist.alert_tables import Alert

UNSUPPORTED_PROTOCOL = "Unsupported protocol version"


class _ProtocolMismatch(OSError):
    """The broker may only support another version of MQTT."""


class MqttSink:
    """Publishes each alert at QoS 1 under ``TOPIC/CAMERA``.

    It connects with MQTT 5, the only version in which a broker reports that it rejected a message. It falls back to 3.1.1 for
    brokers that do not support MQTT 5.

    Args:
        url: ``mqtt://[user:password@]host[:port][/TOPIC]``, or ``mqtts://`` for TLS. The default topic is ``farsight/alerts``.

    Raises:
        ValueError: the address or the topic is not valid.
    """

    name = "mqtt"

    def __init__(self, url: str) -> None:
        if not is_valid_address(url, "mqtt", "mqtts"):
            raise ValueError(f"alerts.mqtt = {redact_url(url)!r}: must be mqtt://[user:password@]host[:port][/topic] or mqtts://")
        self._parts = urlsplit(url)
        self._topic = unquote(self._parts.path.strip("/")) or "farsight/alerts"
        if any(sign in self._topic for sign in "#+\0"):
            raise ValueError(f"alerts.mqtt: the topic {self._topic!r} must not hold # or +")
        self._client: Any = None
        self._use_mqtt5 = True
        self._answers: dict[int, Any] = {}

    def send(self, alert: Alert) -> None:
        try:
            client = self._client or self._connect()
            message = client.publish(f"{self._topic}/{alert.source}", alert.content, qos=1)
            message.wait_for_publish(ANSWER_TIMEOUT_S)
            if not message.is_published():
                raise OSError("the broker does not answer")
            answer = self._answers.pop(message.mid, None)
            if answer is not None and answer.is_failure:
                raise OSError(f"the broker did not accept the alert: {answer}")
        except Exception:
            self.close()  # drops the client's queue, which would send the alert again after each attempt
            raise

    def close(self) -> None:
        self._answers.clear()
        if self._client is not None:
            self._client.loop_stop()
            self._client.disconnect()
            self._client = None

    def _connect(self) -> Any:
        if self._use_mqtt5:
            try:
                return self._attempt(mqtt5=True)
            except _ProtocolMismatch:
                self.close()
        client = self._attempt(mqtt5=False)
        self._use_mqtt5 = False
        return client

    def _attempt(self, mqtt5: bool) -> Any:
        """Return a connected client. Raises OSError with the broker's reason."""
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

        protocol = MQTTProtocolVersion.MQTTv5 if mqtt5 else MQTTProtocolVersion.MQTTv311
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"farsight-{secrets.token_hex(6)}", protocol=protocol)
        if self._parts.username:
            client.username_pw_set(unquote(self._parts.username), unquote(self._parts.password or ""))
        secure = self._parts.scheme == "mqtts"
        if secure:
            client.tls_set()
        assert self._parts.hostname is not None
        answered, reasons = threading.Event(), []

        def on_connect(client: Any, data: Any, flags: Any, reason: Any, properties: Any) -> None:
            reasons.append(reason)
            answered.set()

        def on_publish(client: Any, data: Any, number: int, reason: Any, properties: Any) -> None:
            self._answers[number] = reason

        client.on_connect, client.on_publish = on_connect, on_publish
        client.connect(self._parts.hostname, self._parts.port or (8883 if secure else 1883))
        self._client = client
        client.loop_start()
        if not answered.wait(ANSWER_TIMEOUT_S):
            raise _ProtocolMismatch("the broker does not answer")
        if reasons[0].is_failure:
            if str(reasons[0]) == UNSUPPORTED_PROTOCOL:
                raise _ProtocolMismatch(str(reasons[0]))
            raise OSError(f"the broker refuses the connection: {reasons[0]}")
        return client
