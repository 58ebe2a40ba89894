"""The job an engine runs, the status it reports, and what both engines share."""

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
    """One graph to be run over some sources.

    Attributes:
        groups: the graph.
        sources: what is read.
        context: values for stage keywords, by name.
        checkpoints: the database file that holds checkpoints; None: keep none.
        checkpoint_every_s: seconds between checkpoints of a source.
        resume: continue from the checkpoints.
        run_keywords: see `EngineSettings`.
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
        """Digest of the settings; equal for jobs with compatible results and checkpoints."""
        return fingerprint(self.groups, self.context, self.run_keywords)

    @classmethod
    def of(
        cls, settings: EngineSettings, sources: list[SourceSpec], context: dict[str, Any], database: Path, resume: bool
    ) -> Job:
        return cls(settings.groups, sources, context, database, settings.checkpoint_every_s, resume, settings.run_keywords)


@dataclass
class GroupStatus:
    """A group at one moment, summed over its replicas.

    Attributes:
        name: of the group.
        stages: the numbers of `StageMetrics` by stage.
        counters: the stages' own counters.
        latencies: by stage, from a live record's capture to the end of the stage.
        queued: batches waiting.
        dropped: records dropped because the next group was too slow.
    """

    name: str
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    latencies: dict[str, LatencyHistogram] = field(default_factory=dict)
    queued: int = 0
    dropped: int = 0


@dataclass
class Status:
    """A run at one moment.

    Attributes:
        groups: of its graph.
        sources: those that are being read or are finished.
        figures: further numbers to show and export, by name and source.
    """

    groups: list[GroupStatus] = field(default_factory=list)
    sources: list[SourceReport] = field(default_factory=list)
    figures: dict[str, dict[str, float]] = field(default_factory=dict)


StatusCallback = Callable[[Status], None]
"""Called by an engine with the status of the run, about twice a second and once at the end."""


class Engine(Protocol):
    """Runs jobs."""

    def run(self, job: Job, on_status: StatusCallback) -> Status:
        """Run a job to its end and return the last status. On KeyboardInterrupt everything is stopped first."""

    def close(self) -> None:
        """End what the engine has started."""


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def source_replicas(job: Job) -> tuple[int, str]:
    """Number of sources to read in parallel, and the reason for it."""
    wanted = job.groups[0].replicas
    if wanted != "auto":
        return max(1, min(wanted, len(job.sources))), "set in the configuration"
    count = max(1, min(len(job.sources), cores()))
    return count, f"{len(job.sources)} sources on {cores()} cores"


def threads_for(group: GroupSettings, readers: int) -> int:
    """Threads of the numeric libraries in one actor of a group, while ``readers`` sources are read at the same time."""
    return group.threads if group.threads != "auto" else max(1, cores() // readers)


def resume_point(job: Job, spec: SourceSpec) -> tuple[SourceReport | None, tuple[float, bytes] | None]:
    """The report of a source that an earlier run has finished, or the checkpoint ``(pts_s, state)`` to continue from."""
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
    """Add the stage metrics of one replica to those of its group."""
    for stage in metrics:
        row = into.stages.setdefault(stage["name"], {"batches": 0, "records_in": 0, "records_out": 0, "busy_s": 0.0})
        for key in row:
            row[key] += stage[key]
        into.latencies.setdefault(stage["name"], LatencyHistogram()).merge(stage["latencies"])
        for name, count in stage["counters"].items():
            into.counters[name] = into.counters.get(name, 0) + count
