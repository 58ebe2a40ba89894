"""What a broker says when it does not want an alert."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stages.alerts import mqtt
from stages.alerts.mqtt import MqttSink
from tests.servers import free_port, needs_mosquitto, start_mosquitto, stop
from watchlist.alert_tables import Alert

ALERT = Alert("k", "match", 1.0, "gate", "t", 1, "{}")
V5, V311 = 5, 4  # in the ninth byte of a CONNECT
BAD_USER = bytes([0x20, 3, 0, 0x86, 0])
OLD_BAD_VERSION, OLD_NOT_AUTHORISED, OLD_WELCOME = (bytes([0x20, 2, 0, code]) for code in (1, 5, 0))
Answer = Callable[[int], bytes]


@pytest.fixture
def broker() -> Iterator[Callable[[Answer], int]]:
    """Starts one that answers each CONNECT by its version, and each publication; gives its port."""
    made = []

    def start(answer: Answer) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        made.append(server)

        def serve() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                    caller.sendall(answer(caller.recv(4096)[8]))
                    if (packet := caller.recv(4096)) and packet[0] >> 4 == 3:
                        caller.sendall(bytes([0x40, 2, 0, 1]))
                except OSError:
                    if server.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in made:
        server.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda version: BAD_USER, "the broker refuses the connection: Bad user name or password"),
        (lambda version: OLD_BAD_VERSION if version == V5 else OLD_NOT_AUTHORISED, "refuses the connection: Not authorized"),
        (lambda version: b"", "the broker does not answer"),
    ],
)
def test_the_brokers_reason_for_a_refusal_is_reported(
    broker: Callable[[Answer], int], monkeypatch: pytest.MonkeyPatch, answer: Answer, why: str
) -> None:
    monkeypatch.setattr(mqtt, "ANSWER_TIMEOUT_S", 0.5)
    with pytest.raises(OSError, match=why):
        MqttSink(f"mqtt://joe:pw@127.0.0.1:{broker(answer)}").send(ALERT)


def test_a_broker_of_mqtt_3_gets_its_alerts(broker: Callable[[Answer], int]) -> None:
    sink = MqttSink(f"mqtt://127.0.0.1:{broker(lambda version: OLD_BAD_VERSION if version == V5 else OLD_WELCOME)}")
    sink.send(ALERT)
    sink.close()


def test_a_topic_with_a_wildcard_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match=r"alerts\.mqtt: the topic 'doors/\+' must not hold"):
        MqttSink("mqtt://broker/doors/+")


@pytest.mark.live
@needs_mosquitto
@pytest.mark.parametrize(
    ("user", "why"), [("joe:wrong", "refuses the connection: "), ("joe:right", "did not accept the alert: Not authorized")]
)
def test_a_real_broker_refuses_a_password_or_a_topic(tmp_path: Path, user: str, why: str) -> None:
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "joe", "right"], check=True, capture_output=True)
    passwords.chmod(0o644)
    rights.write_text("user joe\ntopic write elsewhere/#\n")
    port = free_port()
    server = start_mosquitto(port, tmp_path, f"password_file {passwords}", f"acl_file {rights}", "allow_anonymous false")
    try:
        with pytest.raises(OSError, match=why):
            MqttSink(f"mqtt://{user}@127.0.0.1:{port}/doors").send(ALERT)
    finally:
        stop(server)
