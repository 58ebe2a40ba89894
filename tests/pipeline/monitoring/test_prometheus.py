"""What Prometheus and a service manager see, asked over real HTTP."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.engine import GroupStatus, Status, add_metrics
from pipeline.errors import SettingsError
from pipeline.monitoring import prometheus as module
from pipeline.monitoring.prometheus import MetricsServer
from pipeline.protocol import SourceReport

COUNTS = {"frames_decoded": 50, "frames_searched": 40, "dropped_for_newer": 10, "reconnects": 3, "stalls": 1}


@pytest.fixture
def monitor() -> Iterator[MetricsServer]:
    found = MetricsServer("127.0.0.1", 0)
    yield found
    found.close()


def ask(monitor: MetricsServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{monitor.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def status(state: str) -> Status:
    group = GroupStatus("faces", queued=2, dropped=1)
    stage = {
        "name": "embed",
        "batches": 4,
        "records_in": 9,
        "records_out": 9,
        "busy_s": 1.5,
        "latencies": {70: 9},
        "counters": {"x": 5},
    }
    add_metrics(group, [stage])
    return Status([group], [SourceReport("gate", "", state=state, counts=COUNTS, delay_s=0.3)])


def test_a_scrape_tells_of_cameras_and_stages(monitor: MetricsServer) -> None:
    monitor.update(status("streaming"))
    code, text = ask(monitor, "/metrics")
    found = {(s.name, *sorted(s.labels.values())): s.value for f in text_string_to_metric_families(text) for s in f.samples}
    assert code == 200
    assert found["farsight_camera_state", "gate", "streaming"] == 1 and found["farsight_camera_state", "backing off", "gate"] == 0
    assert found["farsight_camera_frames_total", "gate", "searched"] == 40
    assert found["farsight_camera_dropped_frames_total", "gate", "newer frame"] == 10
    assert found["farsight_camera_events_total", "gate", "reconnects"] == 3
    assert found["farsight_camera_delay_seconds", "gate"] == 0.3
    assert found["farsight_stage_busy_seconds_total", "embed", "faces"] == 1.5
    assert found["farsight_stage_delay_seconds_bucket", "1.0", "embed", "faces"] == 9  # 0.79 s
    assert found["farsight_stage_delay_seconds_bucket", "0.5", "embed", "faces"] == 0
    assert found["farsight_group_queue", "faces"] == 2 and found["farsight_group_dropped_records_total", "faces"] == 1
    assert found["farsight_counted_total", "faces", "x"] == 5


def test_health_and_readiness(monitor: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(monitor, "/healthz") == (503, "starting\n")
    monitor.update(status("backing off"))
    assert ask(monitor, "/healthz") == (200, "ok\n") and ask(monitor, "/readyz") == (503, "gate: backing off\n")
    monitor.update(status("streaming"))
    assert ask(monitor, "/readyz") == (200, "ok\n")
    monkeypatch.setattr(module, "FRESH_S", -1.0)
    assert ask(monitor, "/healthz")[0] == 503
    assert ask(monitor, "/secret")[0] == 404


def test_alerts_that_cannot_be_delivered_and_a_group_that_does_not_answer_are_unhealthy(
    monitor: MetricsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ill, dead = status("streaming"), status("streaming")
    ill.groups.append(GroupStatus("match", {"alert": {}}, {"fault: alerts to file: its thread has ended": 1}))
    ill.groups[1].stages = dict(ill.groups[0].stages)
    monitor.update(ill)
    assert ask(monitor, "/healthz") == (503, "alerts to file: its thread has ended\n")
    assert 'farsight_fault{group="match",what="alerts to file: its thread has ended"} 1.0' in ask(monitor, "/metrics")[1]
    dead.groups.append(GroupStatus("match"))
    monitor.update(dead)
    assert ask(monitor, "/healthz")[0] == 200  # it may be about to be replaced
    monitor._answered["match"] -= 2 * module.FRESH_S
    assert ask(monitor, "/healthz")[1].startswith("match: no answer for ")


def test_it_listens_on_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    found = MetricsServer("::1", 0)
    with urllib.request.urlopen(f"http://[::1]:{found.port}/metrics", timeout=5) as answer:
        assert answer.status == 200
    found.close()


def test_a_taken_port_is_named(monitor: MetricsServer) -> None:
    with pytest.raises(SettingsError, match=rf"metrics\.port = {monitor.port}: "):
        MetricsServer("127.0.0.1", monitor.port)


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("127.0.0.1:9464", True),
        ("localhost", True),
        ("[::1]:9464", True),
        ("10.0.0.7:9464", True),  # an address can be no other site's name
        ("farsight.internal:9464", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:9464", False),
    ],
)
def test_a_page_that_pretends_to_be_the_monitoring_reads_nothing(path: str, host: str, answered: bool) -> None:
    found = MetricsServer("127.0.0.1", 0, ["farsight.internal"])
    try:
        found.update(status("streaming"))
        request = urllib.request.Request(f"http://127.0.0.1:{found.port}{path}", headers={"Host": host})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                code, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            code, text = error.code, error.read().decode()
        assert code == (200 if answered else 400) and answered == ("gate" in text or text == "ok\n")
    finally:
        found.close()


def test_a_scrape_tells_the_figures_of_each_camera(monitor: MetricsServer) -> None:
    seen = status("streaming")
    seen.figures["expected_false_alarms_a_day"] = {"gate": 2.5}
    monitor.update(seen)
    assert 'farsight_camera_expected_false_alarms_a_day{camera="gate"} 2.5' in ask(monitor, "/metrics")[1]
