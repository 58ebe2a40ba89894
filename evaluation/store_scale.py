"""Time and peak memory of the store, its commands and its pages with many tracks and people.

    python -m evaluation.store_scale --out scale/ [--tracks 500000] [--people 20000] [--json docs/results/store.json]

Builds a database of random unit vectors: tracks of 16 live cameras over 90 days (embedding, path of 40 detections, 3 in 100
matched), people with one photo each (a 20 KB chip). Each command then runs in a process of its own, whose time and peak
resident memory are measured. `serve` is queried over HTTP, its page by 50 clients at once. The purge runs last, because it
deletes a third of the tracks. The limits are for a machine with two cores. ``--json`` writes a section of the results page,
as `evaluation.results` reads it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track as progress_bar
from rich.table import Table

from evaluation.timed_command import farsight_command, machine, run_timed
from models import recognizer_card
from stages.record import write_jsonl
from watchlist.store import Store

ROOT = Path(__file__).parents[1]
DAYS, CAMERAS, DIMENSION, DETECTIONS, CHIP_BYTES, CHUNK = 90, 16, 256, 40, 20_000, 10_000
BARS_S = {
    "export": 2.0,
    "watchlist list": 3.0,
    "report": 10.0,
    "page of /api/sightings": 0.2,
    "last page of /api/sightings": 0.2,
    "/ p95 of 50 readers": 2.0,
    "purge of a third": 60.0,
}
BAR_MB, BAR_REPORT_MB = 600, 20


def build(out: Path, tracks: int, people: int) -> None:
    """Write the database and ``sightings.jsonl``.

    Args:
        out: folder to create.
        tracks: number of tracks, spread over cameras and days.
        people: number of people on the watchlist.
    """
    out.mkdir(parents=True)
    rng = np.random.default_rng(0)
    store = Store(out / "farsight.db")
    digest = recognizer_card()["sha256"]
    photos = _unit(rng, people)
    with store.transaction():
        for number in progress_bar(range(people), description="people"):
            identity = store.add_identity(f"Person {number:06d}", external_id=f"X{number:06d}", purpose="scale")
            chip = rng.bytes(CHIP_BYTES)
            store.add_enrolment(identity, f"{number}.jpg", f"{number:064d}", chip, photos[number], digest, 0.8, 90.0)
    for start in progress_bar(range(0, tracks, CHUNK), description="tracks"):
        count = min(CHUNK, tracks - start)
        vectors = _unit(rng, count).astype(np.float16)
        store.put_tracks([_row(start + k, tracks, vectors[k], people, digest, rng) for k in range(count)])
    write_jsonl(out / "sightings.jsonl", store.iter_final())
    picture = _picture()
    for row in store.page(limit=25):
        for kind in ("crop", "restored"):
            (out / row[kind]).parent.mkdir(parents=True, exist_ok=True)
            (out / row[kind]).write_bytes(picture)
    store.close()


def _unit(rng: np.random.Generator, count: int) -> np.ndarray:
    vectors = rng.standard_normal((count, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _picture() -> bytes:
    import cv2

    return cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[1].tobytes()


def _row(number: int, tracks: int, vector: np.ndarray, people: int, digest: str, rng: np.random.Generator) -> dict[str, Any]:
    at = time.time() - DAYS * 86_400 * (1 - number / tracks)  # in order of time, as live cameras write
    camera = f"camera{number % CAMERAS:02d}"
    outcome = "match" if number % 100 < 3 else ("not_assessable" if number % 3 == 0 else "no_match")
    person = int(rng.integers(people))
    seconds = at % 86_400
    day = time.strftime("%Y%m%dT%H%M%S", time.gmtime(at - seconds))
    track = f"{day}.{number % 1000:03d}Z-{seconds:09.2f}-{number:04d}"
    score = float(rng.uniform(0.45, 0.7) if outcome == "match" else rng.uniform(0.1, 0.42))
    judged = outcome != "not_assessable"
    return {
        "source": camera,
        "track": track,
        "version": 2,
        "final": 1,
        "start_s": seconds,
        "end_s": seconds + 4,
        "face_px": float(rng.uniform(12, 60)),
        "shots": 5,
        "template": vector.tobytes(),
        "recognizer": digest,
        "quality": float(rng.uniform(0.1, 0.9)),
        "best_pts_s": seconds + 2,
        "best_box": "[100.0, 100.0, 140.0, 150.0]",
        "crop": f"crops/{camera}/{track}-crop.png",
        "restored": f"crops/{camera}/{track}-restored.png",
        "path": rng.random((DETECTIONS, 5), dtype=np.float32).tobytes(),
        "outcome": outcome,
        "identity": person + 1 if outcome == "match" else None,
        "name": f"Person {person:06d}" if outcome == "match" else None,
        "nearest": f"Person {person:06d}" if judged else None,
        "score": score if judged else None,
        "threshold": 0.45 if judged else None,
        "fpir": 0.01,
        "reasons": json.dumps([] if judged else ["low_quality: 0.08", "blurred: 3"]),
        "started_at": at,
        "ended_at": at + 4,
    }


def measure(out: Path) -> dict[str, dict[str, Any]]:
    """Run all measurements; rows by name."""
    store = Store(out / "farsight.db")
    tracks = [f"{row['source']}/{row['track']}" for row in store.page(limit=25)]
    store.close()
    bundle = out.parent / "bundle.zip"
    rows = {
        "export": run_timed(
            farsight_command("export", bundle, "--force", "--db", out, *(w for t in tracks for w in ("--track", t)))
        )
    }
    bundle.unlink(missing_ok=True)
    rows["watchlist list"] = run_timed(farsight_command("watchlist", "list", "--db", out))
    program = "import sys; from pathlib import Path; from console.report import write_report; from watchlist.store import Store; "
    program += "out = Path(sys.argv[1]); write_report(Store(out / 'farsight.db'), out)"
    rows["report"] = run_timed([sys.executable, "-c", program, str(out)])
    rows["report"]["report_mb"] = (out / "report.html").stat().st_size / 1e6
    rows |= measure_serve(out)
    rows["purge of a third"] = run_timed(farsight_command("purge", "--db", out, *_third()))
    rows["purge, asked again"] = run_timed(farsight_command("purge", "--db", out, *_third()))
    return rows


def _third() -> list[str]:
    return [word for outcome in ("match", "no-match", "not-assessable") for word in (f"--{outcome}", str(DAYS * 2 / 3))]


def measure_serve(out: Path) -> dict[str, dict[str, Any]]:
    """Latency of the answers of `serve`, and its peak memory."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(farsight_command("serve", "--db", out, "--port", port), cwd=ROOT, stdout=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: _get(f"{base}/healthz")[0])
        _get(f"{base}/api/sightings?limit=100")  # the first request opens the database
        rows = {"page of /api/sightings": _latency(f"{base}/api/sightings?limit=100")}
        store = Store(out / "farsight.db")
        last = store.sources()[-1]
        deep = store._db.execute(
            "SELECT source, track FROM tracks WHERE final = 1 AND source = ? ORDER BY source DESC, start_s DESC, track DESC "
            "LIMIT 1 OFFSET 100",
            (last,),
        ).fetchone()
        store.close()
        rows["last page of /api/sightings"] = _latency(f"{base}/api/sightings?limit=100&after={deep[0]}/{deep[1]}")
        rows["/ p95 of 50 readers"] = _concurrent_latency(f"{base}/")
        peak = _peak_mb(server.pid)
    finally:
        server.terminate()
        server.wait()
    return {name: row | {"mb": peak, "exit": 0} for name, row in rows.items()}


def _latency(url: str, times: int = 9) -> dict[str, Any]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        size = _get(url)[1]
        took.append(time.perf_counter() - began)
    return {"seconds": float(np.percentile(took, 95)), "median_s": float(np.median(took)), "kb": size / 1e3}


def _concurrent_latency(url: str, readers: int = 50) -> dict[str, Any]:
    took, sizes = [], []

    def read() -> None:
        began = time.perf_counter()
        sizes.append(_get(url)[1])
        took.append(time.perf_counter() - began)

    threads = [threading.Thread(target=read) for _ in range(readers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"seconds": float(np.percentile(took, 95)), "readers": len(took), "kb": max(sizes) / 1e3}


def _get(url: str) -> tuple[int, int]:
    with urllib.request.urlopen(url, timeout=300) as answer:
        return answer.status, len(answer.read())


def _until(ready: Callable[[], object], most_s: float = 60.0) -> None:
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        try:
            ready()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("serve does not answer")


def _peak_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def results_section(rows: dict[str, dict[str, Any]], tracks: int, people: int, database_mb: float) -> dict[str, Any]:
    """The measurements as a section of the results page.

    Args:
        rows: measurements by name, as `measure` returns them.
        tracks: number of tracks in the database.
        people: number of people on the watchlist.
        database_mb: size of the database file in MB.

    Returns:
        What `evaluation.results` reads: title, command, data, machine, date and one table.
    """
    counts = f"{tracks:,} tracks of {CAMERAS} cameras over {DAYS} days, {people:,} people"
    size = f"{database_mb:,.0f} MB" if database_mb >= 1 else "below 1 MB"
    defaults = {"tracks": (tracks, 500_000), "people": (people, 20_000)}
    options = "".join(f" --{name} {value}" for name, (value, default) in defaults.items() if value != default)
    lines = [[name, _figure(row["seconds"]), BARS_S.get(name, ""), round(row["mb"]), row["exit"]] for name, row in rows.items()]
    return {
        "title": "Store: time and memory of commands and pages with many tracks and people",
        "command": f"python -m evaluation.store_scale --out scale/{options}",
        "data": f"random unit vectors: {counts}; database of {size}",
        "machine": machine(),
        "date": time.strftime("%Y-%m"),
        "tables": [
            {
                "caption": "",
                "columns": ["command or request", "seconds", "limit, seconds", "peak memory, MB", "exit code"],
                "rows": lines,
                "note": f"Requests: the 95th percentile. Memory limit: {BAR_MB} MB. Report: {_report_note(rows)}",
            }
        ],
    }


def _report_note(rows: dict[str, dict[str, Any]]) -> str:
    return f"{rows['report']['report_mb']:.1f} MB of at most {BAR_REPORT_MB} MB."


def _figure(seconds: float) -> float:
    return round(seconds, 2 if seconds >= 0.1 else 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the database; replaced unless --keep")
    parser.add_argument("--tracks", type=int, default=500_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--keep", action="store_true", help="measure the existing database")
    parser.add_argument("--json", type=Path, help="write the section of the results page here")
    args = parser.parse_args()
    if not args.keep:
        shutil.rmtree(args.out, ignore_errors=True)
        build(args.out, args.tracks, args.people)
    size = (args.out / "farsight.db").stat().st_size / 1e6
    rows = measure(args.out)
    table = Table("what", "s", "bar s", "peak MB", "exit", "", box=None)
    for name, row in rows.items():
        note = f"{row['report_mb']:.1f} MB" if "report_mb" in row else row.get("errors", "")
        table.add_row(name, f"{row['seconds']:.2f}", str(BARS_S.get(name, "")), f"{row['mb']:.0f}", str(row["exit"]), note)
    Console(width=150).print(table)
    if args.json:
        section = results_section(rows, args.tracks, args.people, size)
        args.json.write_text(json.dumps(section, indent=1) + "\n")


if __name__ == "__main__":
    main()
