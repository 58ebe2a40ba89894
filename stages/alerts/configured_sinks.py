"""Creates the alert sinks that the settings name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stages.alerts.jsonl import JsonlSink
from stages.alerts.mqtt import MqttSink
from stages.alerts.sink import Sink
from stages.alerts.webhook import WebhookSink


def build_sinks(out: Path, settings: dict[str, Any]) -> list[Sink]:
    """Create the configured sinks.

    Args:
        out: output folder; ``alerts.jsonl`` is written there.
        settings: section ``alerts`` of the settings: ``webhook``, ``webhook_secret``, ``mqtt``.

    Raises:
        ValueError: an address is not valid.
    """
    sinks: list[Sink] = [JsonlSink(out / "alerts.jsonl")]
    if url := settings.get("webhook"):
        sinks.append(WebhookSink(str(url), settings.get("webhook_secret")))
    if url := settings.get("mqtt"):
        sinks.append(MqttSink(str(url)))
    return sinks
