"""The HTTP server for monitoring: /metrics for Prometheus, /healthz and /readyz."""

from __future__ import annotations

import ipaddress
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from pipeline.engine import Status
from pipeline.errors import SettingsError

FRESH_S = 30.0  # with an older status the engine itself hangs
FAULT = "fault: "  # prefix of counters of what does not work at all at the moment
EDGES_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
DROPS = {"dropped_for_newer": "newer frame"}
HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"), ("Cross-Origin-Resource-Policy", "same-origin"))
STATES = ("starting", "connecting", "streaming", "backing off", "stopped")


class MetricsServer:
    """Serves the latest status.

    Args:
        host: address to listen on.
        port: TCP port; 0: a free one.
        names: host names that requests may use, besides this machine's, ``host`` and IP addresses. Requests for other names are
            refused, so that a web page cannot read the metrics through a name that resolves to this machine (DNS rebinding).

    Raises:
        SettingsError: the port is in use.
    """

    def __init__(self, host: str, port: int, names: Sequence[str] = ()) -> None:
        self._status, self._at = Status(), 0.0
        self._names = {"localhost", host.lower(), socket.gethostname().lower(), *(name.lower() for name in names)}
        registry = CollectorRegistry()
        registry.register(self)
        self._metrics = make_wsgi_app(registry)
        self._answered: dict[str, float] = {}
        try:
            self._server = make_server(host, port, self._answer, _Server6 if ":" in host else _Server, _Quiet)
        except OSError as error:
            raise SettingsError(
                f"metrics.port = {port}: {error.strerror or error} on metrics.host = {host}; name another port, or 0 for none"
            ) from None
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def update(self, status: Status) -> None:
        """Serve this status from now on; the status callback of an engine."""
        self._status, self._at = status, time.monotonic()
        for place, group in enumerate(status.groups):
            if group.stages or place == 0:  # cameras may have no actor at the moment
                self._answered[group.name] = self._at
            self._answered.setdefault(group.name, self._at)

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def collect(self) -> Iterator[Metric]:
        """The metrics at this moment; called by `prometheus_client`."""
        status = self._status
        camera_state = GaugeMetricFamily("farsight_camera_state", "1 for the state a camera is in.", labels=["camera", "state"])
        delay = GaugeMetricFamily("farsight_camera_delay_seconds", "Age of the last frame when searched.", labels=["camera"])
        frames = CounterMetricFamily("farsight_camera_frames", "Frames by what became of them.", labels=["camera", "what"])
        drops = CounterMetricFamily("farsight_camera_dropped_frames", "Frames dropped, by reason.", labels=["camera", "reason"])
        events = CounterMetricFamily(
            "farsight_camera_events", "Reconnects, stalls, readers replaced.", labels=["camera", "event"]
        )
        for source in status.sources:
            for state in STATES:
                camera_state.add_metric([source.name, state], float(source.state == state))
            if source.delay_s is not None:
                delay.add_metric([source.name], source.delay_s)
            for name, reason in DROPS.items():
                drops.add_metric([source.name, reason], source.counts.get(name, 0))
            for name in ("decoded", "searched"):
                frames.add_metric([source.name, name], source.counts.get(f"frames_{name}", 0))
            for name in ("reconnects", "stalls", "readers replaced"):
                events.add_metric([source.name, name], source.counts.get(name, 0))
        yield from (camera_state, delay, frames, drops, events)
        for name, row in status.figures.items():
            figure = GaugeMetricFamily(f"farsight_camera_{name}", f"{name.replace('_', ' ').capitalize()}.", labels=["camera"])
            for camera, value in row.items():
                figure.add_metric([camera], value)
            yield figure
        yield from self._of_stages(status)
        yield GaugeMetricFamily("farsight_status_age_seconds", "Since the last look at all actors.", self._age())

    def _of_stages(self, status: Status) -> Iterator[Metric]:
        labels = ["group", "stage"]
        records = CounterMetricFamily("farsight_stage_records", "Records taken in.", labels=labels)
        batches = CounterMetricFamily("farsight_stage_batches", "Batches taken in.", labels=labels)
        busy = CounterMetricFamily("farsight_stage_busy_seconds", "Seconds at work.", labels=labels)
        delay = HistogramMetricFamily("farsight_stage_delay_seconds", "From capture to the end of the stage.", labels=labels)
        queue = GaugeMetricFamily("farsight_group_queue", "Batches waiting.", labels=["group"])
        dropped = CounterMetricFamily("farsight_group_dropped_records", "Records dropped between groups.", labels=["group"])
        counted = CounterMetricFamily("farsight_counted", "What stages count.", labels=["group", "what"])
        faults = GaugeMetricFamily("farsight_fault", "1 while something cannot work at all.", labels=["group", "what"])
        for group in status.groups:
            queue.add_metric([group.name], group.queued)
            dropped.add_metric([group.name], group.dropped)
            for name, count in group.counters.items():
                if name.startswith(FAULT):
                    faults.add_metric([group.name, name.removeprefix(FAULT)], float(count))
                else:
                    counted.add_metric([group.name, name], count)
            for stage, row in group.stages.items():
                records.add_metric([group.name, stage], row["records_in"])
                batches.add_metric([group.name, stage], row["batches"])
                busy.add_metric([group.name, stage], row["busy_s"])
                found = group.latencies.get(stage)
                if found is not None and found.count:
                    buckets = [(str(edge), float(found.count_up_to(edge))) for edge in EDGES_S] + [("+Inf", float(found.count))]
                    delay.add_metric([group.name, stage], buckets, sum_value=None)
        yield from (records, batches, busy, delay, queue, dropped, counted, faults)

    def _age(self) -> float:
        return time.monotonic() - self._at if self._at else float("inf")

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if not self._is_ours(environ.get("HTTP_HOST", "")):
            start("400 Bad Request", [("Content-Type", "text/plain"), *HEADERS])
            return [b"unknown host: name it in metrics.names\n"]
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start)
            return answer
        if path not in ("/healthz", "/readyz"):
            start("404 Not Found", [("Content-Type", "text/plain"), *HEADERS])
            return [b"/metrics, /healthz or /readyz\n"]
        faults = self._faults(ready=path == "/readyz")
        start("503 Service Unavailable" if faults else "200 OK", [("Content-Type", "text/plain"), *HEADERS])
        return [("\n".join(faults) if faults else "ok").encode() + b"\n"]

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header is an IP address or one of the allowed names."""
        if not host:  # HTTP/1.0, which browsers do not use
            return True
        name = host.rpartition(":")[0] if re.search(r":\d*$", host) and not host.endswith("]") else host
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.lower() in self._names
        return True

    def _faults(self, ready: bool) -> list[str]:
        """Why it is not healthy: an actor does not answer, or a stage counts a fault. Ready also needs a streaming camera."""
        if not self._at:
            return ["starting"]
        if self._age() > FRESH_S:
            return [f"no status for {self._age():.0f} s"]
        for group in self._status.groups:
            silent = time.monotonic() - self._answered[group.name]
            if silent > FRESH_S:
                return [f"{group.name}: no answer for {silent:.0f} s"]
            if faults := [name.removeprefix(FAULT) for name, count in group.counters.items() if name.startswith(FAULT) and count]:
                return faults
        if ready and not any(s.state == "streaming" for s in self._status.sources):
            return [f"{s.name}: {s.state}" for s in self._status.sources] or ["no camera"]
        return []


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        return
