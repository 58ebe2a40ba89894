"""``run.json``: what was run, with which settings and why, and what each stage did."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import __version__
from pipeline.delays import Delays
from pipeline.engine import Status, cores
from pipeline.errors import redact, redact_url
from pipeline.settings import Settings

MISSING = "not installed"
PACKAGES = ("torch", "av", "ray", "faiss-cpu", "trackers", "numpy", "opencv-python-headless")


def versions() -> dict[str, str]:
    """Of this project, Python and what decides the results."""
    found = {"farsight": __version__, "python": platform.python_version()}
    return found | {name: _version(name) for name in PACKAGES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return MISSING


def _percentiles(delays: Delays | None) -> dict[str, dict[str, float]]:
    """Seconds from a live picture's capture to the end of a stage; nothing for recordings."""
    if delays is None or not delays.count:
        return {}
    return {"delay_s": {f"p{percent}": round(delays.percentile(percent), 3) for percent in (50, 95, 99)}}


def write_summary(
    path: Path,
    settings: Settings,
    choices: dict[str, str],
    status: Status,
    elapsed: dict[str, float],
    outcomes: dict[str, int],
    watchlist: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write and return the summary. ``elapsed`` is wall seconds by phase; rates are records per busy second; ``watchlist`` is
    which photos were refused and who is not looked for."""
    groups = []
    for group in status.groups:
        stages = {
            name: {
                **{k: round(v, 3) for k, v in row.items()},
                "per_busy_s": round(row["records_in"] / row["busy_s"], 2) if row["busy_s"] else None,
                **_percentiles(group.delays.get(name)),
            }
            for name, row in group.stages.items()
        }
        groups.append({"name": group.name, "stages": stages, "counters": group.counters, "dropped": group.dropped})
    sources = [asdict(source) for source in status.sources]
    summary = {
        "command": [Path(sys.argv[0]).name, *(redact_url(word) for word in sys.argv[1:])],
        "settings": settings.model_dump(mode="json", exclude={"cameras", "alerts"}),
        "choices": choices | {f"{s['name']}: {k}": v for s in sources for k, v in s["choices"].items()},
        "versions": versions(),
        "machine": {"cores": cores(), "processor": platform.machine()},
        "elapsed_s": {k: round(v, 2) for k, v in elapsed.items()},
        "outcomes": outcomes,
        "watchlist": watchlist or {},
        "sources": sources,
        "groups": groups,
    }

    text = redact(json.dumps(summary, indent=2, default=str))
    part = path.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(path)
    return summary
