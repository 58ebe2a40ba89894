"""Alerts reach their receivers at least once and in order, whatever these do in the meantime. Real HTTP, a real broker."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages import delivery
from stages.delivery import Delivery, Mqtt, Sink, Webhook, sinks_of
from tests.servers import Receiver, free_port, needs_mosquitto, start_mosquitto, stop, until
from watchlist.alerts import Alert
from watchlist.store import Store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "BACKOFF_S", (0.05, 0.2))


@pytest.fixture
def deliver(tmp_path: Path) -> Iterator[Callable[[Sink], Delivery]]:
    made = []

    def start(sink: Sink) -> Delivery:
        made.append(Delivery(sink, tmp_path / "f.db"))
        return made[-1]

    yield start
    for each in made:
        each.close()


def keep(folder: Path, sink: str, *keys: str) -> None:
    store = Store(folder / "f.db")
    store.put_alerts([Alert(key, "match", 1.0, "gate", "t", 1, f'{{"key": "{key}"}}') for key in keys], [sink])
    store.close()


def left(folder: Path, sink: str) -> list[str]:
    store = Store(folder / "f.db")
    found = [alert.key for alert in store.undelivered(sink)]
    store.close()
    return found


def keys(receiver: Receiver) -> list[str]:
    return [content["key"] for content in receiver.contents()]


def test_a_post_is_signed_and_has_its_key(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver()
    keep(tmp_path, "webhook", "a")
    deliver(Webhook(receiver.url, "hush"))
    until(lambda: not left(tmp_path, "webhook"))
    headers, body, _ = receiver.got[0]
    at, _, mac = headers["x-farsight-signature"].removeprefix("t=").partition(",v1=")
    assert hmac.new(b"hush", f"{at}.".encode() + body, hashlib.sha256).hexdigest() == mac
    assert headers["idempotency-key"] == "a" and body == b'{"key": "a"}'
    receiver.close()


def test_a_camera_may_have_any_name(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver()
    keep(tmp_path, "webhook", "Eingangstür/1/match", "gate/1/match")
    deliver(Webhook(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    assert [headers["idempotency-key"] for headers, _, _ in receiver.got] == ["Eingangst%C3%BCr/1/match", "gate/1/match"]
    assert keys(receiver)[0] == "Eingangstür/1/match"
    receiver.close()


def test_a_receiver_that_fails_is_asked_again_in_order(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver(answers=(500, 429, 200))
    keep(tmp_path, "webhook", "a", "b")
    found = deliver(Webhook(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a", "a", "a", "b"]
    assert found.counters()["trouble: webhook: answered 500"] == 1
    receiver.close()


def test_alerts_wait_for_a_receiver_that_is_down_over_a_restart(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    port = free_port()
    url = f"http://joe:secret@127.0.0.1:{port}/alerts"
    keep(tmp_path, "webhook", "a")
    first = deliver(Webhook(url))
    until(lambda: any(name.startswith("trouble: webhook: ") for name in first.counters()))
    assert "secret" not in str(first.counters())
    first.close()
    keep(tmp_path, "webhook", "b")
    receiver = Receiver(port)
    deliver(Webhook(url))
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a", "b"]
    receiver.close()


def test_one_that_is_refused_for_good_does_not_stop_the_next(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver(answers=(422, 409, 200))
    keep(tmp_path, "webhook", "a", "b", "c")
    found = deliver(Webhook(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a", "b", "c"]
    counts = found.counters()
    assert counts["trouble: webhook refused an alert: answered 422"] == 1 and counts["delivered to webhook"] == 2
    receiver.close()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"webhook": "ftp://joe:pw@x/y"}, r"alerts\.webhook = 'ftp://\*\*\*@x/y': must be"),
        ({"mqtt": "broker:1883"}, r"alerts\.mqtt = 'broker:1883': must be"),
        ({"webhook": "https://joe:[pw@x/y"}, r"alerts\.webhook = 'https://\*\*\*@x/y': must be"),
        ({"mqtt": "mqtt://joe:pa/ss@broker"}, r"alerts\.mqtt = 'mqtt://\*\*\*@broker': must be"),
    ],
)
def test_wrong_addresses_are_named(tmp_path: Path, settings: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        sinks_of(tmp_path, settings)


@pytest.mark.live
@needs_mosquitto
def test_a_broker_gets_alerts_by_camera_and_after_its_restart(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    port = free_port()
    got: list[tuple[str, bytes]] = []
    listener = Client(CallbackAPIVersion.VERSION2)
    listener.on_connect = lambda client, *_: client.subscribe("doors/#", qos=1)
    listener.on_message = lambda client, data, message: got.append((message.topic, message.payload))
    subscribed: list[int] = []
    listener.on_subscribe = lambda *_: subscribed.append(1)
    listener.reconnect_delay_set(1, 1)
    broker = start_mosquitto(port, tmp_path)
    listener.connect("127.0.0.1", port)
    listener.loop_start()
    until(lambda: subscribed)
    keep(tmp_path, "mqtt", "a")
    found = deliver(Mqtt(f"mqtt://127.0.0.1:{port}/doors"))
    until(lambda: got)
    assert got == [("doors/gate", b'{"key": "a"}')]
    stop(broker)
    keep(tmp_path, "mqtt", "b")
    found.wake()
    until(lambda: any(name.startswith("trouble: mqtt") for name in found.counters()), 20)
    time.sleep(1.0)  # several tries
    broker = start_mosquitto(port, tmp_path)
    until(lambda: len(subscribed) == 2)
    keep(tmp_path, "mqtt", "c")
    found.wake()
    until(lambda: not left(tmp_path, "mqtt"), 20)
    until(lambda: got and got[-1][1] == b'{"key": "c"}')
    assert [content for _, content in got].count(b'{"key": "b"}') <= 1  # none of those tries was kept to be sent late
    listener.loop_stop()
    stop(broker)
