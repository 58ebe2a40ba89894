"""Response times of the console with a large database: `python -m evaluation.console_speed --db DIR`.

Measures the time to the first byte of each page (200 requests), the feed's next page, the memory of `serve`, and 50 users at a
time. `python -m evaluation.store_scale` makes such a database. The server is started on loopback; where the database has no
account no login is needed; otherwise pass an API token.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

PAGES = {
    "sightings": "/sightings",
    "sightings, matches": "/sightings?outcome=match",
    "sightings, one source": "/sightings?source={source}",
    "sightings, wide faces": "/sightings?least_px=60",
    "review": "/review",
    "people": "/people",
    "people, part of a name": "/people?q=99",
    "person": "/people/{person}",
    "track": "/track?source={source}&track={track}",
    "nearest people of a track": "/track/nearest?source={source}&track={track}",
    "unknowns, switched off": "/unknowns",
    "cameras": "/cameras",
    "runs": "/runs",
    "cases": "/cases",
    "settings": "/settings",
    "search by photo, the form": "/search",
    "API: tracks": "/api/v1/tracks",
    "API: one track": "/api/v1/tracks/{source}/{track}",
    "API: people": "/api/v1/people",
}


class Server:
    """A running `serve` process, with its memory and CPU time."""

    def __init__(self, db: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-c", "from cli import main; main()", "serve", "--db", str(db), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.peak_mb = 0.0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            self.peak_mb = max(self.peak_mb, self.memory_mb())

    def memory_mb(self) -> float:
        """Anonymous resident memory in MB. File-backed pages are not counted, because the kernel can reclaim them."""
        try:
            lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        except OSError:
            return 0.0
        found = dict(line.split(":", 1) for line in lines if line.startswith(("RssAnon", "RssShmem")))
        return sum(int(value.split()[0]) for value in found.values()) / 1024

    def cpu_s(self) -> float:
        """CPU seconds used by the process. Other load on the machine affects them little."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self, client: httpx.Client, most_s: float = 300.0) -> float:
        """Wait for the first response; return the seconds until then."""
        began = time.perf_counter()
        while time.perf_counter() - began < most_s:
            try:
                client.get("/healthz")
                return time.perf_counter() - began
            except httpx.TransportError:
                if self._process.poll() is not None:
                    raise SystemExit("serve has ended: see its message above") from None
                time.sleep(0.1)
        raise SystemExit(f"serve does not answer within {most_s:.0f} s")

    def close(self) -> None:
        self._ended.set()
        self._process.terminate()
        self._process.wait()


def first_byte_ms(client: httpx.Client, address: str) -> float:
    """Time to first byte in milliseconds. Raises SystemExit if the request is refused."""
    began = time.perf_counter()
    with client.stream("GET", address) as answer:
        for _ in answer.iter_raw(1):
            break
        took = 1000 * (time.perf_counter() - began)
        if answer.status_code != 200:
            raise SystemExit(f"{address}: status {answer.status_code}")
    return took


def p95(times: list[float]) -> float:
    return round(float(np.percentile(times, 95)), 1)


def sample_tracks(client: httpx.Client, count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Tracks from several places of the feed."""
    found: list[dict[str, Any]] = []
    after = None
    while len(found) < count:
        page = client.get("/api/v1/tracks", params={"limit": 500} | ({"after": after} if after else {})).json()
        found += rng.sample(page["items"], min(20, len(page["items"])))
        after = page["next"]
        if after is None:
            break
    return found


def measure(db: Path, requests: int, users: int, token: str | None) -> dict[str, Any]:
    """Run all measurements; return them as a JSON-serialisable dictionary."""
    rng = random.Random(0)
    server = Server(db)
    headers = {"authorization": f"Bearer {token}"} if token else {}
    client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60.0, headers=headers)
    try:
        ready_s = server.wait(client)
        tracks = sample_tracks(client, 200, rng)
        people = [person["id"] for person in client.get("/api/v1/people?limit=500").json()["items"]] or [1]

        def address(pattern: str) -> str:
            chosen = rng.choice(tracks)
            return pattern.format(source=chosen["source"], track=chosen["track"], person=rng.choice(people))

        pages = {}
        for name, pattern in PAGES.items():
            cold = first_byte_ms(client, address(pattern))
            before = server.cpu_s()
            times = [first_byte_ms(client, address(pattern)) for _ in range(requests)]
            pages[name] = {
                "first_ms": round(cold, 1),
                "p50_ms": round(float(np.median(times)), 1),
                "p95_ms": p95(times),
                "cpu_ms": round(1000 * (server.cpu_s() - before) / requests, 1),
            }
        following, after = [], None
        for _ in range(requests):
            began = time.perf_counter()
            page = client.get("/api/v1/tracks", params={"limit": 60} | ({"after": after} if after else {})).json()
            following.append(1000 * (time.perf_counter() - began))
            after = page["next"]
        alone_mb = server.peak_mb
        parallel = crowd(server.port, headers, [address(pattern) for pattern in PAGES.values() for _ in range(5)], users)
        return {
            "database_mb": round(sum(path.stat().st_size for path in db.glob("farsight.db*") if path.is_file()) / 1e6),
            "requests": requests,
            "ready_s": round(ready_s, 1),
            "pages": pages,
            "next_page_of_the_feed_p95_ms": p95(following),
            "parallel_users": users,
            "parallel": parallel,
            "memory_mb": {"one user": round(alone_mb), "all users": round(server.peak_mb)},
            "cores": len(os.sched_getaffinity(0)),
            "load_average": round(os.getloadavg()[0], 1),
        }
    finally:
        server.close()


def crowd(port: int, headers: dict[str, str], addresses: list[str], users: int, seconds: float = 40.0) -> dict[str, Any]:
    """Simulate ``users`` concurrent users for ``seconds``; each requests a page every two to six seconds."""
    times: list[float] = []
    faults: list[str] = []
    end = time.perf_counter() + seconds

    def use(seed: int) -> None:
        rng = random.Random(seed)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60.0, headers=headers) as client:
            while time.perf_counter() < end:
                try:
                    times.append(first_byte_ms(client, rng.choice(addresses)))
                except (httpx.HTTPError, SystemExit) as error:
                    faults.append(str(error))
                time.sleep(rng.uniform(2.0, 6.0))

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "pages": len(times),
        "per_s": round(len(times) / seconds, 1),
        "p50_ms": round(float(np.median(times)), 1) if times else None,
        "p95_ms": p95(times) if times else None,
        "faults": faults[:5],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", type=Path, required=True, help="output folder with a large database")
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--token", help="API token, where the database has accounts")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    given = parser.parse_args()
    found = measure(given.db, given.requests, given.users, given.token)
    text = json.dumps(found, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
