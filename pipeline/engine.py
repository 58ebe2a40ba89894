"""What running a graph takes and gives, whichever engine does it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pipeline.checkpoints import Checkpoints
from pipeline.latency import LatencyHistogram
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.settings import EngineSettings, GroupSettings
from pipeline.stage_settings import fingerprint


@dataclass(frozen=True)
class Job:
    """One graph over some sources.

    ``context`` fills stage keywords by name; ``checkpoints`` is the database file that holds them, or None to keep none.
    """

    groups: list[GroupSettings]
    sources: list[SourceSpec]
    context: dict[str, Any]
    checkpoints: Path | None
    checkpoint_every_s: float
    resume: bool = False
    run_keywords: frozenset[str] = EngineSettings.run_keywords

    @property
    def settings_digest(self) -> str:
        """Tells whether checkpoints and results are of the same settings."""
        return fingerprint(self.groups, self.context, self.run_keywords)

    @classmethod
    def of(
        cls, settings: EngineSettings, sources: list[SourceSpec], context: dict[str, Any], database: Path, resume: bool
    ) -> Job:
        return cls(settings.groups, sources, context, database, settings.checkpoint_every_s, resume, settings.run_keywords)


@dataclass
class GroupStatus:
    """A group at a moment: stage metrics and delays summed over replicas, batches waiting, records dropped."""

    name: str
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, LatencyHistogram] = field(default_factory=dict)
    queued: int = 0
    dropped: int = 0


@dataclass
class Status:
    """A run at a moment: its groups, and the sources being read or finished."""

    groups: list[GroupStatus] = field(default_factory=list)
    sources: list[SourceReport] = field(default_factory=list)


StatusCallback = Callable[[Status], None]


class Engine(Protocol):
    def run(self, job: Job, watch: StatusCallback) -> Status:
        """Run to the end, calling ``watch`` about twice a second. On KeyboardInterrupt everything is stopped first."""

    def close(self) -> None: ...


def cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def source_replicas(job: Job) -> tuple[int, str]:
    """How many sources are read at once, and why."""
    wanted = job.groups[0].replicas
    if wanted != "auto":
        return max(1, min(wanted, len(job.sources))), "set in the configuration"
    count = max(1, min(len(job.sources), cores()))
    return count, f"{len(job.sources)} sources on {cores()} cores"


def threads_for(group: GroupSettings, readers: int) -> int:
    """Threads of the numeric libraries in one actor of a group, with ``readers`` sources being read at once."""
    return group.threads if group.threads != "auto" else max(1, cores() // readers)


def resume_point(job: Job, spec: SourceSpec) -> tuple[SourceReport | None, tuple[float, bytes] | None]:
    """The report of a source that an earlier run has finished, or else the checkpoint to continue from."""
    if job.checkpoints is None or not job.resume:
        return None, None
    store = Checkpoints(job.checkpoints)
    found = store.load(spec.name)
    store.close()
    if found is None:
        return None, None
    if found.done:
        return found.report(), None
    return None, (found.pts_s, found.state)


def add_metrics(into: GroupStatus, metrics: list[dict[str, Any]]) -> None:
    """Add one replica's stage metrics to its group's."""
    for stage in metrics:
        row = into.stages.setdefault(stage["name"], {"batches": 0, "records_in": 0, "records_out": 0, "busy_s": 0.0})
        for key in row:
            row[key] += stage[key]
        into.latencies.setdefault(stage["name"], LatencyHistogram()).merge(stage["latencies"])
        for name, count in stage["counters"].items():
            into.counters[name] = into.counters.get(name, 0) + count
