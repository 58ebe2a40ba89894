"""Runs the command line as a user would, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "run_pipeline.py"), *(str(a) for a in arguments)]


def farsight(*arguments: object, timeout: float = 120, **keywords: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout, **keywords)


def lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "sightings.jsonl").read_text().splitlines()]


def comparable(found: list[dict[str, Any]], digits: int = 6) -> list[dict[str, Any]]:
    """Sightings without what may differ by rounding: scores to ``digits``, in the order of time."""
    rows = [{**line, "score": None if line["score"] is None else round(line["score"], digits)} for line in found]
    return sorted(rows, key=lambda r: (r["source"], r["track"]))


def watching(corridor: Path, watchlist: Path, out: Path) -> tuple[object, ...]:
    """A command that looks for people in the corridor's clip; its faces, drawn by one small generator, resemble each other more
    than people do, so a rarer false alarm is asked for."""
    clip = corridor / "corridor.mp4"
    return "run", "--fpir", "0.0001", "--source", clip, "--watchlist", watchlist, "--out", out


def refused(code: int, said: str, *arguments: object) -> None:
    """The command ends with this exit code and says this, without a traceback."""
    done = farsight(*arguments)
    text = done.stderr + done.stdout
    assert "Traceback" not in text
    assert done.returncode == code, text
    assert said in " ".join(text.split())
