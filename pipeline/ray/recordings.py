"""The Ray engine: each group is a set of actors, sources are read in parallel, and dead actors are replaced."""

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
UNLIMITED = -1  # a batch that kills the actors behind the readers is set aside; what else kills them may pass
ASIDE = "trouble: batches set aside because each killed its worker three times"


class RayEngine:
    """Runs a job on the cluster of ``RAY_ADDRESS``, or on a Ray of its own that ends with the run."""

    def __init__(self) -> None:
        self._cluster = Cluster()

    def run(self, job: Job, watch: StatusCallback) -> Status:
        return RayRun(job, watch).run()

    def close(self) -> None:
        self._cluster.close()


def replica_count(group: GroupSettings) -> int:
    return group.replicas if isinstance(group.replicas, int) else 1


def opens_database(group: GroupSettings) -> bool:
    """Whether a stage of the group opens the database."""
    return any("database" in inspect.signature(stage_class(stage.use)).parameters for stage in group.stages)


class RayRun:
    """One job: makes the actors, hands out the sources, watches, ends everything."""

    def __init__(self, job: Job, watch: StatusCallback) -> None:
        self.job, self.watch = job, watch
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
        """Find wrong settings here, not in an actor that dies of them; read no more sources at once than fit."""
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
        """The last group first, since each is told the names of those behind it."""
        job = self.job
        for place in range(len(job.groups) - 1, 0, -1):
            group, last = job.groups[place], place == len(job.groups) - 1
            options = {
                "num_cpus": group.cpus,
                "num_gpus": group.gpus,
                "enable_task_events": False,  # Ray would keep one of each call, up to 100,000: memory that grows for hours
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
        """Replace readers that die while they start. Where the machine has no room for so many, the others read."""
        waiting = {actor.ready.remote(): (actor, 1) for actor in self.sources}
        while waiting:
            for ref in ray.wait(list(waiting))[0]:
                actor, tries = waiting.pop(ref)
                try:
                    ray.get(ref)
                except RayTaskError:  # it says what is wrong
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
        """A group hands on what it still holds."""
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
                except RayTaskError:  # something behind the reader failed for good
                    raise
                except RayError as error:  # dead, with its node or not, or killed for its memory
                    actor, again = self._replace(actor, spec, deaths, error)
                    if again is None:
                        idle.append(actor)
                    else:
                        running[again] = (actor, spec, deaths + 1)
            self.watch(self._status())
        self.watch(self._status())

    def _replace(self, dead: Any, spec: SourceSpec, deaths: int, error: RayError) -> tuple[Any, Any | None]:
        """A reader died: a new one, and its run of the same source from the last checkpoint, unless that has died too often."""
        self.sources.remove(dead)
        ray.kill(dead)  # if it was only out of reach
        actor = self._make_source()
        self.sources.append(actor)
        if deaths >= MAX_RESTARTS:
            self.reports.append(
                SourceReport(
                    spec.name, redact_url(spec.url), "failed", f"its reader died {deaths + 1} times ({type(error).__name__})"
                )
            )
            return actor, None
        # Results later than the checkpoint are made again and overwrite their equals.
        return actor, actor.run.remote(spec, resume_point(replace(self.job, resume=True), spec)[1])

    def _status(self) -> Status:
        """Ask every actor; one that is just being replaced is left out this time."""
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
        """Let the readers write a last checkpoint, but not for long."""
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
