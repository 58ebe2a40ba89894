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
