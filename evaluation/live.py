"""Load and alert latency of ``live``: simulated cameras over real RTSP, one row for each number of cameras.

    python -m evaluation.live [--cameras 1,2,4,8,16] [--seconds 60] [--json FILE]      # the table
    python -m evaluation.live --flap [--seconds 600]                                   # a flapping and a healthy camera

Each camera is 640x360 at 10 frames a second with one computer-made face at a time, served by `evaluation.rtsp_server`; its
docstring lists the required packages. The program is started as a user starts it. Alert latency is measured from outside: from
the capture time of the frame,
which the alert holds, to the alert's line in ``alerts.jsonl``. Memory is of all its processes, shared pages counted once.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from synthetic.corridor import render_clip, repeat_clip
from synthetic.memory import total_pss_mb

ROOT = Path(__file__).parent.parent
SYSTEM_PYTHON = "/usr/bin/python3"
START_S = 120.0
SETTLED_S = 30.0  # seconds of start-up, during which memory is not counted
FLAP_S = 5.0
COOL_DOWN_S = 5.0  # so that every pass raises an alert


def make_film(folder: Path, seconds: float) -> tuple[Path, Path]:
    """Render a clip of at least ``seconds``; returns it and the folder of the enrolled people in it."""
    clip = render_clip(folder, seconds=32.0, width=640, walkers=4, fps=10, seed=6)
    return repeat_clip(clip, folder / "film.mp4", round(seconds / 32.0) + 2), folder / "people"


def free_port() -> int:
    """A free TCP port on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def serve(port: int, names: list[str], film: Path) -> subprocess.Popen[str]:
    """Start an RTSP server that serves the clip under each name; returns when it listens."""
    script = [SYSTEM_PYTHON, str(ROOT / "evaluation" / "rtsp_server.py"), str(port), *(f"{n}={film}" for n in names)]
    server = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    if server.stdout.readline() != "ready\n":
        sys.exit("no RTSP server: see evaluation/rtsp_server.py for what it needs")
    return server


class LiveProgram:
    """A running ``live`` process, observed from outside.

    Args:
        folder: for settings, log and output.
        people: folder of the people to enrol.
        urls: RTSP URL by camera name.
    """

    def __init__(self, folder: Path, people: Path, urls: dict[str, str]) -> None:
        self.out, self.port = folder / "out", free_port()
        settings = {
            "cameras": [{"name": name, "url": url} for name, url in urls.items()],
            "watchlist": str(people),
            "out": str(self.out),
            "alerts": {"cooldown_s": COOL_DOWN_S},
            "metrics": {"port": self.port},
        }
        (folder / "live.yaml").write_text(yaml.safe_dump(settings))
        self.log = (folder / "live.log").open("w")
        command = [sys.executable, str(ROOT / "run_pipeline.py"), "live", "--config", str(folder / "live.yaml")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=self.log)
        self.latencies: list[float] = []
        self._ended = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def wait_until_streaming(self, cameras: int) -> None:
        """Wait until ``cameras`` cameras stream. Raises SystemExit after `START_S` seconds."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            found = self.scrape()
            if sum(v for (n, *labels), v in found.items() if n == "farsight_camera_state" and "streaming" in labels) >= cameras:
                return
            time.sleep(0.5)
        sys.exit(f"the cameras did not start within {START_S:.0f} s: see {self.log.name}")

    def scrape(self) -> dict[tuple[str, ...], float]:
        """Every Prometheus sample by name and labels; empty while the endpoint does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        families = text_string_to_metric_families(text)
        return {(s.name, *(s.labels[k] for k in sorted(s.labels))): s.value for family in families for s in family.samples}

    def camera(self, found: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
        """Counters of one camera."""
        kinds = ("farsight_camera_frames_total", "farsight_camera_dropped_frames_total", "farsight_camera_events_total")
        return {labels[-1]: value for (metric, *labels), value in found.items() if metric in kinds and labels[0] == name}

    def stop(self) -> float:
        """Send SIGTERM and wait; returns the seconds it took. Raises SystemExit if the exit code is not 0."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self._ended.set()
        if code:
            sys.exit(f"it ended with {code}")
        return time.monotonic() - started

    def _listen(self) -> None:
        """Record the latency of each alert."""
        path, seen = self.out / "alerts.jsonl", 0
        while not self._ended.wait(0.02):
            if not path.exists():
                continue
            with path.open() as file:
                file.seek(seen)
                lines = file.readlines()
                seen = file.tell()
            for line in lines:
                captured = json.loads(line)["captured"]
                if captured:
                    self.latencies.append(time.time() - datetime.fromisoformat(captured).timestamp())


@contextmanager
def run_live(
    film: Path, people: Path, groups: list[list[str]]
) -> Iterator[tuple[LiveProgram, list[subprocess.Popen[str]], list[int]]]:
    """Run RTSP servers, one for each group of camera names, and ``live`` on all cameras."""
    with tempfile.TemporaryDirectory() as folder:
        ports = [free_port() for _ in groups]
        servers = [serve(port, names, film) for port, names in zip(ports, groups, strict=True)]
        urls = {name: f"rtsp://127.0.0.1:{port}/{name}" for port, names in zip(ports, groups, strict=True) for name in names}
        program = LiveProgram(Path(folder), people, urls)
        try:
            program.wait_until_streaming(len(urls))
            yield program, servers, ports
        finally:
            program.process.kill()
            for server in servers:
                server.kill()


def measure(film: Path, people: Path, cameras: int, seconds: float) -> dict[str, Any]:
    """Measure one row of the table: ``cameras`` cameras for ``seconds``."""
    names = [f"cam{k}" for k in range(cameras)]
    with run_live(film, people, [names]) as (program, _, _):
        begin, started = program.scrape(), time.monotonic()
        before = len(program.latencies)
        memory: list[tuple[float, float]] = []
        while (elapsed := time.monotonic() - started) < seconds:
            time.sleep(min(5.0, seconds - elapsed + 0.01))
            memory.append((time.monotonic() - started, total_pss_mb(program.process.pid)))
        end, took = program.scrape(), time.monotonic() - started
        delays = np.array(program.latencies[before:])
        stopped = program.stop()
    total = dict.fromkeys(("decoded", "searched", "newer frame", "reconnects", "stalls"), 0.0)
    for name in names:
        first, last = program.camera(begin, name), program.camera(end, name)
        for key in total:
            total[key] += last.get(key, 0) - first.get(key, 0)
    settled = np.array([size for at, size in memory if at >= min(SETTLED_S, seconds / 2)])
    fifth = max(1, len(settled) // 5)
    halves = [delays[: len(delays) // 2], delays[len(delays) // 2 :]]
    return {
        "cameras": cameras,
        "seconds": round(took, 1),
        "offered_fps": round(total["decoded"] / took, 1),
        "searched_fps": round(total["searched"] / took, 1),
        "dropped_share": round(total["newer frame"] / max(1.0, total["decoded"]), 3),
        "alerts": len(delays),
        "delay_s": {f"p{p}": round(float(np.percentile(delays, p)), 3) for p in (50, 95, 99)} if len(delays) else None,
        "delay_p95_halves_s": [round(float(np.percentile(half, 95)), 3) for half in halves] if len(delays) > 3 else None,
        "memory_mb": [round(float(settled[:fifth].mean())), round(float(settled[-fifth:].mean()))],
        "reconnects": total["reconnects"],
        "stalls": total["stalls"],
        "stop_s": round(stopped, 1),
    }


def flap(film: Path, people: Path, seconds: float) -> dict[str, Any]:
    """Measure a camera whose server dies and returns every few seconds, and a healthy one on another server."""
    with run_live(film, people, [["healthy"], ["flapping"]]) as (program, servers, ports):
        begin, started = program.scrape(), time.monotonic()
        memory: list[float] = []
        returns: list[float] = []
        deaths = 0
        while time.monotonic() - started < seconds:
            time.sleep(FLAP_S)
            servers[1].kill()
            servers[1].wait()
            deaths += 1
            memory.append(total_pss_mb(program.process.pid))
            time.sleep(FLAP_S)
            before = program.camera(program.scrape(), "flapping")["decoded"]
            servers[1] = serve(ports[1], ["flapping"], film)
            back = time.monotonic()
            while program.camera(program.scrape(), "flapping")["decoded"] == before:
                time.sleep(0.1)
            returns.append(time.monotonic() - back)
        end, took = program.scrape(), time.monotonic() - started
        stopped = program.stop()
    rows = {}
    for name in ("healthy", "flapping"):
        first, last = program.camera(begin, name), program.camera(end, name)
        rows[name] = {key: last[key] - first.get(key, 0) for key in last}
    fifth = max(1, len(memory) // 5)
    return {
        "seconds": round(took, 1),
        "server_deaths": deaths,
        "frames_again_after_s": {f"p{p}": round(float(np.percentile(returns, p)), 2) for p in (50, 100)},
        "healthy": rows["healthy"] | {"expected": round(10 * took)},
        "flapping": rows["flapping"],
        "memory_mb": [round(float(np.mean(memory[:fifth]))), round(float(np.mean(memory[-fifth:])))],
        "stop_s": round(stopped, 1),
    }


def show(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table(box=None)
    for heading in (
        "cameras",
        "offered /s",
        "searched /s",
        "dropped",
        "alerts",
        "to alert p50 / p95 / p99 s",
        "p95 halves",
        "memory MB",
        "stop s",
    ):
        table.add_column(heading, justify="right")
    for row in rows:
        delay = " / ".join(f"{v:.2f}" for v in row["delay_s"].values()) if row["delay_s"] else "-"
        halves = " → ".join(f"{v:.2f}" for v in row["delay_p95_halves_s"] or [])
        memory = " → ".join(str(v) for v in row["memory_mb"])
        cells = (row["cameras"], row["offered_fps"], row["searched_fps"], f"{row['dropped_share']:.0%}", row["alerts"])
        table.add_row(*(str(c) for c in cells), delay, halves, memory, str(row["stop_s"]))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", default="1,2,4,8,16", help="numbers of cameras, one row each")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--flap", action="store_true", help="measure a flapping and a healthy camera in place of the table")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        film, people = make_film(Path(folder), args.seconds + START_S)
        if args.flap:
            result: Any = flap(film, people, args.seconds)
            console.print_json(data=result)
        else:
            result = []
            for count in (int(c) for c in args.cameras.split(",")):
                console.print(f"{count} cameras for {args.seconds:.0f} s")
                result.append(measure(film, people, count, args.seconds))
            show(result, console)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
