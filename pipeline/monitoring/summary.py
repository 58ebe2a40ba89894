"""Writes ``run.json``: settings, automatic choices and their reasons, versions, and what each stage did."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.engine import Status, cores
from pipeline.errors import Interrupted, redact, redact_url
from pipeline.latency import LatencyHistogram
from pipeline.monitoring.versions import versions
from pipeline.settings import EngineSettings


def _percentiles(latencies: LatencyHistogram | None) -> dict[str, dict[str, float]]:
    """Percentiles of seconds from a live frame's capture to the end of a stage; nothing for recordings."""
    if latencies is None or not latencies.count:
        return {}
    return {"delay_s": {f"p{percent}": round(latencies.percentile(percent), 3) for percent in (50, 95, 99)}}


def write_summary(
    path: Path,
    settings: EngineSettings,
    choices: dict[str, str],
    status: Status,
    elapsed: dict[str, float],
    outcomes: dict[str, int],
    more: dict[str, Any] | None = None,
    exit_code: int = 0,
) -> dict[str, Any]:
    """Write the summary of a run, and the list of all runs into this folder.

    Args:
        path: ``run.json``.
        settings: of the run; secret keys are left out.
        choices: what was chosen automatically, and why.
        status: how the run ended.
        elapsed: wall seconds by phase.
        outcomes: number of tracks per outcome, over all runs.
        more: further keys, such as what was left out.
        exit_code: of the command.

    Returns:
        The summary of this run.
    """
    sources = [asdict(source) for source in status.sources]
    summary = {
        "command": _command(),
        "settings": settings.model_dump(mode="json", exclude=set(settings.secret_keys)),
        "choices": choices | {f"{s['name']}: {k}": v for s in sources for k, v in s["choices"].items()},
        "versions": versions(),
        "machine": {"cores": cores(), "processor": platform.machine()},
        "elapsed_s": {k: round(v, 2) for k, v in elapsed.items()},
        "outcomes": outcomes,
        **(more or {}),
        "sources": sources,
        "groups": _groups(status),
    }
    _, runs = _with_runs(path)
    mine = runs.pop() if runs and _is_mine(runs[-1]) else _record(time.time() - elapsed.get("all", 0.0))
    mine |= {"status": "finished", "ended_at": _now(), "exit_code": exit_code} | summary
    _write(path, summary | {"runs": [*runs, mine]})
    return summary


def begin_run(path: Path) -> None:
    """Add this run to the list of runs, so that a run that is killed is listed too."""
    former, runs = _with_runs(path)
    for run in runs:
        if run.get("status") == "running":
            run["status"] = "killed"
    _write(path, former | {"runs": [*runs, _record(time.time())]})


def end_run(path: Path, error: BaseException) -> None:
    """Record in the list of runs why this run ended early. Does nothing if this process has no run on the list."""
    summary = read_summary(path)
    runs = summary.get("runs", [])
    if not runs or not _is_mine(runs[-1]):
        return
    stopped = isinstance(error, Interrupted | KeyboardInterrupt)
    code = getattr(error, "exit_code", 130 if stopped else 4)
    ended = {"status": "interrupted" if stopped else "failed", "reason": str(error), "ended_at": _now(), "exit_code": code}
    with suppress(OSError):  # the user sees the error that ended the run
        _write(path, summary | {"runs": [*runs[:-1], runs[-1] | ended]})


def read_summary(path: Path) -> dict[str, Any]:
    """Read ``run.json``. Returns an empty dictionary if it is missing. A damaged file is kept under another name."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError:
        found = None
    if not isinstance(found, dict) or not _are_runs(found.get("runs", [])):
        path.replace(path.with_name("run.damaged.json"))
        return {}
    return found


def _with_runs(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The summary of the last run, and the list of all runs."""
    former = read_summary(path)
    runs = former.pop("runs", [])
    if not runs and former:  # written by a version without a list of runs
        runs = [{"status": "finished"} | former]
    return former, runs


def _are_runs(runs: Any) -> bool:
    return isinstance(runs, list) and all(isinstance(run, dict) for run in runs)


def _record(began: float) -> dict[str, Any]:
    return {"status": "running", "started_at": _now(began), "pid": os.getpid(), "command": _command(), "versions": versions()}


def _is_mine(run: dict[str, Any]) -> bool:
    return run.get("status") == "running" and run.get("pid") == os.getpid()


def _command() -> list[str]:
    return [Path(sys.argv[0]).name, *(redact_url(word) for word in sys.argv[1:])]


def _now(at: float | None = None) -> str:
    """A time with its offset from UTC."""
    return datetime.fromtimestamp(time.time() if at is None else at).astimezone().isoformat(timespec="seconds")


def _groups(status: Status) -> list[dict[str, Any]]:
    groups = []
    for group in status.groups:
        stages = {
            name: {
                **{k: round(v, 3) for k, v in row.items()},
                "per_busy_s": round(row["records_in"] / row["busy_s"], 2) if row["busy_s"] else None,
                **_percentiles(group.latencies.get(name)),
            }
            for name, row in group.stages.items()
        }
        groups.append({"name": group.name, "stages": stages, "counters": group.counters, "dropped": group.dropped})
    return groups


def _write(path: Path, summary: dict[str, Any]) -> None:
    text = redact(json.dumps(summary, indent=2, default=str))
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)  # so that no link is written through
    part.write_text(text + "\n")
    part.replace(path)
