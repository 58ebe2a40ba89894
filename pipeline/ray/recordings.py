"""The Ray engine for recordings: each group is a set of actors, sources are read in parallel, dead actors are replaced."""

from __future__ import annotations

import inspect
import shutil
import sqlite3
import tempfile
import time
import uuid
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.chain import Chain
from pipeline.engine import GroupStatus, Job, Status, StatusCallback, add_metrics, resume_point, source_replicas, threads_for
from pipeline.errors import FarsightError, OutputError, SettingsError, redact_url
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.ray.actors import GroupActor, SourceActor
from pipeline.ray.cluster import Cluster, on_this_machine, require_shared
from pipeline.ray.environment import RayError, RayTaskError, ray
from pipeline.ray.flow_control import describe_death
from pipeline.settings import GroupSettings
from pipeline.stage_classes import stage_class
from pipeline.stage_settings import build_stage

POLL_S = 0.5
STOP_GRACE_S = 8.0
MAX_RESTARTS = 3  # of a reader, for one source or while it starts
UNLIMITED = -1  # restarts of the actors behind the readers: a batch that kills them is set aside, other causes may pass
ASIDE = "trouble: batches set aside because each killed its worker three times"


class RayEngine:
    """Runs jobs on the cluster of ``RAY_ADDRESS``, or on a Ray of its own that ends with `close`."""

    def __init__(self) -> None:
        self._cluster = Cluster()

    def run(self, job: Job, on_status: StatusCallback) -> Status:
        return RayRun(job, on_status).run()

    def close(self) -> None:
        self._cluster.close()


def replica_count(group: GroupSettings) -> int:
    """Replicas of a group behind the readers."""
    return group.replicas if isinstance(group.replicas, int) else 1


def opens_database(group: GroupSettings) -> bool:
    """Whether a stage of the group opens the database, so that it must run on this machine."""
    return any("database" in inspect.signature(stage_class(stage.use)).parameters for stage in group.stages)


class RayRun:
    """One run of a job: makes the actors, hands out the sources, reports the status, ends everything."""

    def __init__(self, job: Job, on_status: StatusCallback) -> None:
        self.job, self.on_status = job, on_status
        self.readers, _ = source_replicas(job)
        self.id = uuid.uuid4().hex[:8]
        self.groups: list[list[Any]] = []
        self.names: list[list[str]] = []
        self.sources: list[Any] = []
        self.reports: list[SourceReport] = []
        self.last = Status()

    def run(self) -> Status:
        try:
            self._check()
            require_shared(self.job)
            self._make_groups()
            self._make_sources()
            self._wait_for([actor.ready.remote() for actors in self.groups for actor in actors])
            self._wait_for_readers()
            self._read_all()
            for actors in self.groups:
                self._finish(actors)
            return self.last
        except KeyboardInterrupt:
            self._stop_gently()
            raise
        except RayTaskError as error:
            if isinstance(error.cause, FarsightError | OSError | sqlite3.Error):
                raise error.cause from None
            if isinstance(error.cause, RayError):
                raise OutputError(describe_death(error.cause)) from None
            raise
        except RayError as error:
            raise OutputError(describe_death(error)) from None
        finally:
            for actor in [*self.sources, *(a for actors in self.groups for a in actors)]:
                ray.kill(actor)
            for folder in Path(tempfile.gettempdir()).glob(f"farsight-{self.id}-*"):
                shutil.rmtree(folder, ignore_errors=True)

    def _check(self) -> None:
        """Check the settings before actors are started. Limit the number of readers to what fits into the cluster."""
        for group in self.job.groups:
            Chain.build(group, self.job.context)
        first, others = self.job.groups[0], self.job.groups[1:]
        assert first.source is not None
        build_stage(first.source, self.job.context)
        have = ray.cluster_resources()
        for kind, key in (("CPU", "cpus"), ("GPU", "gpus")):
            taken = sum(getattr(g, key) * replica_count(g) for g in others)
            each = getattr(first, key)
            left = have.get(kind, 0.0) - taken
            if left < each:
                raise SettingsError(f"groups ask for {taken + each:g} {kind}, the cluster has {have.get(kind, 0.0):g}")
            if each:
                self.readers = min(self.readers, int(left / each + 1e-6))

    def _make_groups(self) -> None:
        """Make the actors, last group first, because each needs the names of the next group's actors."""
        job = self.job
        for place in range(len(job.groups) - 1, 0, -1):
            group, last = job.groups[place], place == len(job.groups) - 1
            options = {
                "num_cpus": group.cpus,
                "num_gpus": group.gpus,
                "enable_task_events": False,  # Ray would keep up to 100,000 of them: memory that grows for hours
                "max_restarts": UNLIMITED,
                "max_task_retries": UNLIMITED,
                "max_concurrency": 2 + group.queue * self.readers,
                "scheduling_strategy": on_this_machine() if last or opens_database(group) else "DEFAULT",
            }
            count = replica_count(group)
            next_group = None if last else job.groups[place + 1]
            checkpoints = job.checkpoints if last else None
            threads = threads_for(group, self.readers)
            behind = self.names[0] if self.names else []
            names = [f"{self.id}-{group.name}-{i}" for i in range(count)]
            self.groups.insert(
                0,
                [
                    ray.remote(GroupActor)
                    .options(name=n, **options)
                    .remote(group, job.context, threads, behind, next_group, checkpoints, f"farsight-{self.id}-{place}-{i}")
                    for i, n in enumerate(names)
                ],
            )
            self.names.insert(0, names)

    def _make_sources(self) -> None:
        self.sources = [self._make_source() for _ in range(self.readers)]

    def _wait_for(self, refs: list[Any]) -> None:
        ray.get(refs)

    def _wait_for_readers(self) -> None:
        """Replace readers that die while they start. If some never start, the others read."""
        waiting = {actor.ready.remote(): (actor, 1) for actor in self.sources}
        while waiting:
            for ref in ray.wait(list(waiting))[0]:
                actor, tries = waiting.pop(ref)
                try:
                    ray.get(ref)
                except RayTaskError:  # the stage's own error
                    raise
                except RayError as error:
                    self.sources.remove(actor)
                    ray.kill(actor)
                    if tries <= MAX_RESTARTS:
                        self.sources.append(self._make_source())
                        waiting[self.sources[-1].ready.remote()] = self.sources[-1], tries + 1
                    elif not self.sources:
                        raise OutputError(f"no reader could start: {describe_death(error)}") from None

    def _finish(self, actors: list[Any]) -> None:
        """Let a group send on what it still holds."""
        ray.get([actor.finish.remote() for actor in actors])

    def _make_source(self) -> Any:
        job, group = self.job, self.job.groups[0]
        behind = self.names[0] if self.names else []
        writer = self.names[-1][0] if self.names and job.checkpoints else None
        next_group = job.groups[1] if len(job.groups) > 1 else None
        options = {
            "num_cpus": group.cpus,
            "num_gpus": group.gpus,
            "max_concurrency": 3,
            "enable_task_events": False,
            "scheduling_strategy": on_this_machine() if opens_database(group) else "DEFAULT",
        }
        actor = ray.remote(SourceActor).options(**options)
        return actor.remote(
            group,
            job.context,
            threads_for(group, self.readers),
            behind,
            next_group,
            writer,
            job.checkpoint_every_s,
            job.settings_digest,
        )

    def _read_all(self) -> None:
        waiting: deque[tuple[SourceSpec, tuple[float, bytes] | None]] = deque()
        for spec in self.job.sources:
            done, point = resume_point(self.job, spec)
            if done:
                self.reports.append(done)
            else:
                waiting.append((spec, point))
        idle = list(self.sources)
        running: dict[Any, tuple[Any, SourceSpec, int]] = {}
        while waiting or running:
            while waiting and idle:
                spec, point = waiting.popleft()
                actor = idle.pop()
                running[actor.run.remote(spec, point)] = (actor, spec, 0)
            done_refs, _ = ray.wait(list(running), timeout=POLL_S)
            for ref in done_refs:
                actor, spec, deaths = running.pop(ref)
                try:
                    self.reports.append(ray.get(ref))
                    idle.append(actor)
                except RayTaskError:  # a later group failed
                    raise
                except RayError as error:  # the actor or its machine died, or it was killed for its memory
                    actor, again = self._replace(actor, spec, deaths, error)
                    if again is None:
                        idle.append(actor)
                    else:
                        running[again] = (actor, spec, deaths + 1)
            self.on_status(self._status())
        self.on_status(self._status())

    def _replace(self, dead: Any, spec: SourceSpec, deaths: int, error: RayError) -> tuple[Any, Any | None]:
        """Replace a dead reader. The new one continues the source from its last checkpoint, unless that has killed too many.

        Returns:
            The new actor, and the reference of its run; None if the source is given up.
        """
        self.sources.remove(dead)
        ray.kill(dead)  # it may only be out of reach
        actor = self._make_source()
        self.sources.append(actor)
        if deaths >= MAX_RESTARTS:
            self.reports.append(
                SourceReport(
                    spec.name, redact_url(spec.url), "failed", f"its reader died {deaths + 1} times ({type(error).__name__})"
                )
            )
            return actor, None
        # Results later than the checkpoint are made again and overwrite the same rows.
        return actor, actor.run.remote(spec, resume_point(replace(self.job, resume=True), spec)[1])

    def _status(self) -> Status:
        """Ask every actor for its status. An actor that is being replaced is left out this time."""
        groups = []
        reading: list[SourceReport] = []
        for group, actors in zip(self.job.groups, [self.sources, *self.groups], strict=True):
            total = GroupStatus(group.name)
            refs = [actor.status.remote() for actor in actors]
            ready, _ = ray.wait(refs, num_returns=len(refs), timeout=2.0)
            for ref in ready:
                try:
                    answer = ray.get(ref)
                except RayError:
                    continue
                add_metrics(total, answer["stages"])
                total.queued += answer["queued"]
                total.dropped += answer["dropped"]
                if aside := answer.get("aside"):
                    total.counters[ASIDE] = total.counters.get(ASIDE, 0) + aside
                if answer.get("source") is not None:
                    reading.append(answer["source"])
            groups.append(total)
        known = {report.name for report in self.reports}
        self.last = Status(groups, [*self.reports, *(r for r in reading if r.name not in known)])
        return self.last

    def _stop_gently(self) -> None:
        """Give the readers a few seconds to write a last checkpoint."""
        for actor in self.sources:
            actor.stop.remote()
        until = time.monotonic() + STOP_GRACE_S
        while time.monotonic() < until:
            try:
                busy = [a for a in ray.get([s.status.remote() for s in self.sources], timeout=2.0) if a["source"] is not None]
            except (RayError, KeyboardInterrupt):
                return
            if not busy:
                return
            time.sleep(0.2)
