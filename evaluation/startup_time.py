"""Processor time, time and peak memory of short commands, each in a fresh process.

    python -m evaluation.startup_time [--times 3] [--json docs/results/startup.json]

Measures the start-up cost of commands: version and help, a list of one person, one photo, and ten seconds of
recording in which nobody is seen. Processor time is user and system time of the process and those it started, so it depends
less on other load than wall time does. Every command runs ``--times`` times, and the lowest value counts. The first
rows are what no command can go below: Python itself, and importing torch. ``--json`` writes a section of the results page, as
`evaluation.results` reads it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from evaluation.timed_command import farsight_command, machine, run_timed
from synthetic.corridor import Corridor, GeneratedFaces, portrait, write_clip

LIMITS_CPU_S = {"--version": 1.0, "--help": 1.0, "watchlist list": 1.0, "watchlist add, one photo": 2.0}
LIMITS_S = {"run --engine inline": 6.0, "run --engine auto": 6.0}
CLIP_S, WIDTH, FPS, SEED = 10.0, 960, 25, 3


def make_inputs(folder: Path) -> tuple[Path, Path]:
    """Render a photo of a synthetic person, and a corridor without people. Returns both paths."""
    faces = GeneratedFaces([])
    photo = portrait(faces.generator, faces.generator.identity(SEED), SEED)
    cv2.imwrite(str(folder / "photo.png"), np.ascontiguousarray(photo[..., ::-1]))
    clip, _ = write_clip(Corridor([], faces, WIDTH, FPS, SEED), folder / "quiet.mp4", CLIP_S)
    return folder / "photo.png", clip


def measure(folder: Path, times: int) -> dict[str, dict[str, Any]]:
    """Run all commands ``times`` times. Returns their rows by name: the lowest seconds, and the worst memory and exit code."""
    photo, clip = make_inputs(folder)
    people, out = folder / "people", folder / "out"
    run = "run", "--source", clip, "--watchlist", people, "--out", out, "--engine"
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "python, import torch": [sys.executable, "-c", "import torch"],
        "--version": farsight_command("--version"),
        "--help": farsight_command("--help"),
        "watchlist add, one photo": farsight_command("watchlist", "add", "Ada", photo, "--db", people),
        "watchlist list": farsight_command("watchlist", "list", "--db", people),
        "run --engine inline": farsight_command(*run, "inline"),
        "run --engine auto": farsight_command(*run, "auto"),
    }
    rows: dict[str, dict[str, Any]] = {}
    for name, command in commands.items():
        for _ in range(times):
            shutil.rmtree(people if name.startswith("watchlist add") else out, ignore_errors=True)
            rows[name] = _best(rows.get(name), run_timed(command))
    return rows


def _best(known: dict[str, Any] | None, row: dict[str, Any]) -> dict[str, Any]:
    if known is None:
        return row
    lowest = {key: min(known[key], row[key]) for key in ("seconds", "cpu_s")}
    worst = {key: max(known[key], row[key]) for key in ("mb", "exit")}
    return lowest | worst | {"errors": known["errors"] or row["errors"]}


def results_section(rows: dict[str, dict[str, Any]], times: int) -> dict[str, Any]:
    """The measurements as a section of the results page.

    Args:
        rows: measurements by name, as `measure` returns them.
        times: how often each command ran.
    """
    columns = ["command", "processor seconds", "limit", "seconds", "limit", "peak memory, MB", "exit code"]
    lines = [
        [name, round(row["cpu_s"], 2), LIMITS_CPU_S.get(name, ""), round(row["seconds"], 2), LIMITS_S.get(name, "")]
        + [round(row["mb"]), row["exit"]]
        for name, row in rows.items()
    ]
    return {
        "title": "Start: what short commands cost",
        "command": "python -m evaluation.startup_time" + ("" if times == 3 else f" --times {times}"),
        "data": f"a photo of a synthetic person; {CLIP_S:.0f} s of an empty synthetic corridor, {WIDTH} pixels wide, {FPS} fps",
        "machine": f"{machine()}, load average of the last five minutes {os.getloadavg()[1]:.1f}",
        "date": time.strftime("%Y-%m"),
        "tables": [{"caption": "", "columns": columns, "rows": lines, "note": f"The lowest of {times} runs."}],
    }


def over_limit(rows: dict[str, dict[str, Any]]) -> list[str]:
    """The rows that failed or are above a limit of theirs."""
    named = (("cpu_s", LIMITS_CPU_S), ("seconds", LIMITS_S))
    return [n for n, row in rows.items() if row["exit"] or any(row[key] > limits.get(n, 1e9) for key, limits in named)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how often each command runs")
    parser.add_argument("--json", type=Path, help="write the section of the results page here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args.times)
    section, over = results_section(rows, args.times), over_limit(rows)
    table = Table(*section["tables"][0]["columns"], "", box=None)
    for line in section["tables"][0]["rows"]:
        table.add_row(*map(str, line), f"over the limit {rows[line[0]]['errors']}" if line[0] in over else "")
    Console(width=150).print(table)
    if args.json:
        args.json.write_text(json.dumps(section, indent=1) + "\n")


if __name__ == "__main__":
    main()
