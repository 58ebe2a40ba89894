"""Alerts reach their receivers at least once and in order, whatever these do in the meantime. Real HTTP, a real broker."""

from __future__ import annotations

import hashlib
import hmac
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.alerts import retry_delivery, webhook
from stages.alerts.configured_sinks import build_sinks
from stages.alerts.mqtt import MqttSink
from stages.alerts.retry_delivery import Delivery
from stages.alerts.sink import Sink
from stages.alerts.webhook import WebhookSink, parse_retry_after
from tests.servers import Receiver, free_port, needs_mosquitto, start_mosquitto, stop, until
from watchlist.alert_tables import Alert
from watchlist.store import Store


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_delivery, "BACKOFF_S", (0.05, 0.2))


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
    deliver(WebhookSink(receiver.url, "hush"))
    until(lambda: not left(tmp_path, "webhook"))
    headers, body, _ = receiver.got[0]
    at, _, mac = headers["x-farsight-signature"].removeprefix("t=").partition(",v1=")
    assert hmac.new(b"hush", f"{at}.".encode() + body, hashlib.sha256).hexdigest() == mac
    assert headers["idempotency-key"] == "a" and body == b'{"key": "a"}'
    receiver.close()


def test_a_camera_may_have_any_name(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver()
    keep(tmp_path, "webhook", "Eingangstür/1/match", "gate/1/match")
    deliver(WebhookSink(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    assert [headers["idempotency-key"] for headers, _, _ in receiver.got] == ["Eingangst%C3%BCr/1/match", "gate/1/match"]
    assert keys(receiver)[0] == "Eingangstür/1/match"
    receiver.close()


def test_a_failing_receiver_gets_its_alerts_later_and_in_order(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver(answers=(500, 429, 200))
    keep(tmp_path, "webhook", "a", "b")
    found = deliver(WebhookSink(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a", "a", "a", "b"]
    assert found.counters()["trouble: webhook: answered 500"] == 1
    receiver.close()


def test_alerts_wait_for_a_receiver_that_is_down_over_a_restart(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    port = free_port()
    url = f"http://joe:secret@127.0.0.1:{port}/alerts"
    keep(tmp_path, "webhook", "a")
    first = deliver(WebhookSink(url))
    until(lambda: any(name.startswith("trouble: webhook: ") for name in first.counters()))
    assert "secret" not in str(first.counters())
    first.close()
    keep(tmp_path, "webhook", "b")
    receiver = Receiver(port)
    deliver(WebhookSink(url))
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a", "b"]
    receiver.close()


def test_an_alert_that_is_refused_for_good_does_not_block_the_next(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver(answers=(422, 409, 200))
    keep(tmp_path, "webhook", "a", "b", "c")
    found = deliver(WebhookSink(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a", "b", "c"]
    counts = found.counters()
    assert counts["trouble: webhook refused an alert: answered 422"] == 1 and counts["delivered to webhook"] == 2
    receiver.close()


def test_alerts_go_out_once_the_database_can_be_opened_and_health_says_so_meanwhile(
    tmp_path: Path, deliver: Callable[[Sink], Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_delivery, "UNHEALTHY_AFTER_S", 0.1)
    receiver = Receiver()
    found = deliver(WebhookSink(receiver.url))  # there is no database yet
    fault = "fault: alerts to webhook: the database cannot be read"
    until(lambda: fault in found.counters())
    keep(tmp_path, "webhook", "a")
    until(lambda: not left(tmp_path, "webhook"))
    assert keys(receiver) == ["a"] and fault not in found.counters()
    receiver.close()


def test_a_receiver_may_ask_for_a_pause(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    receiver = Receiver(answers=(429, 200), headers={"Retry-After": "1"})
    keep(tmp_path, "webhook", "a")
    deliver(WebhookSink(receiver.url))
    until(lambda: not left(tmp_path, "webhook"))
    first, second = (at for _, _, at in receiver.got)
    assert 0.9 < second - first < 3
    receiver.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", pytest.approx(2.516e11, rel=0.02)),
        ("soon", None),
        ("-3", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_may_be_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


def test_a_redirect_is_reported_and_not_followed(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    elsewhere = Receiver()
    receiver = Receiver(answers=(307,), headers={"Location": f"http://joe:pw@127.0.0.1:{elsewhere.port}/new?token=abc"})
    keep(tmp_path, "webhook", "a")
    found = deliver(WebhookSink(receiver.url))
    moved = f"moved to http://127.0.0.1:{elsewhere.port}; set alerts.webhook to its new address"
    until(lambda: any(moved in name for name in found.counters()))
    assert elsewhere.got == [] and left(tmp_path, "webhook") == ["a"]
    receiver.close()
    elsewhere.close()


def test_an_endless_answer_costs_no_memory_and_no_time(tmp_path: Path, deliver: Callable[[Sink], Delivery]) -> None:
    """The body is not read: the alert has arrived when the status has."""
    receiver = Receiver(body=iter(lambda: b"x" * 65536, None))
    keep(tmp_path, "webhook", "a", "b")
    deliver(WebhookSink(receiver.url))
    until(lambda: not left(tmp_path, "webhook"), 5)
    receiver.close()


def test_a_receiver_that_answers_byte_by_byte_is_given_up_and_asked_again(
    tmp_path: Path, deliver: Callable[[Sink], Delivery], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "ANSWER_TIMEOUT_S", 0.5)
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        while True:
            try:
                caller, _ = server.accept()
                for letter in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
                    caller.sendall(bytes([letter]))
                    time.sleep(0.05)
            except OSError:
                if server.fileno() < 0:
                    return

    threading.Thread(target=drip, daemon=True).start()
    keep(tmp_path, "webhook", "a")
    found = deliver(WebhookSink(f"http://127.0.0.1:{server.getsockname()[1]}/"))
    until(lambda: found.counters().get("trouble: webhook: no answer within 0.5 s", 0) >= 2, 5)
    server.close()


def test_error_messages_that_differ_each_time_are_counted_in_bounded_memory(tmp_path: Path) -> None:
    class Inventive:
        name = "inventive"
        tries = 0

        def send(self, alert: Alert) -> None:
            self.tries += 1
            raise OSError(f"error number {self.tries}")

        def close(self) -> None:
            return

    keep(tmp_path, "inventive", "a")
    found = Delivery(Inventive(), tmp_path / "f.db")
    found._stopping.wait = lambda _: None  # type: ignore[assignment,method-assign]
    until(lambda: found.counters().get("trouble: inventive: other", 0) > 100)
    found.close()
    assert len(found.counters()) < 2 * retry_delivery.MAX_TROUBLE_KINDS


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
        build_sinks(tmp_path, settings)


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
    found = deliver(MqttSink(f"mqtt://127.0.0.1:{port}/doors"))
    until(lambda: got)
    assert got == [("doors/gate", b'{"key": "a"}')]
    stop(broker)
    keep(tmp_path, "mqtt", "b")
    found.notify()
    until(lambda: sum(n for name, n in found.counters().items() if name.startswith("trouble: mqtt")) >= 3, 20)
    broker = start_mosquitto(port, tmp_path)
    until(lambda: len(subscribed) == 2)
    keep(tmp_path, "mqtt", "c")
    found.notify()
    until(lambda: not left(tmp_path, "mqtt"), 20)
    until(lambda: got and got[-1][1] == b'{"key": "c"}')
    assert [content for _, content in got].count(b'{"key": "b"}') <= 1  # none of those tries was kept to be sent late
    listener.loop_stop()
    stop(broker)
