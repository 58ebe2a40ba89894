"""The inline engine: everything in this process. It is the reference for the Ray engine, and easy to debug."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict

from pipeline.chain import Chain
from pipeline.checkpoints import Checkpoints
from pipeline.engine import GroupStatus, Job, Status, StatusCallback, add_metrics, resume_point
from pipeline.protocol import Batch, Source, SourceReport
from pipeline.runner import SourceRunner
from pipeline.stage_settings import build_stage

REPORT_EVERY_S = 0.5


class DirectOutbox:
    """Runs a batch through the remaining groups immediately."""

    def __init__(self, chains: list[Chain], after_each: Callable[[], None]) -> None:
        self._chains, self._after_each = chains, after_each

    def send(self, batch: Batch) -> None:
        for chain in self._chains:
            batch = chain.process(batch)
        self._after_each()

    def when_written(self, action: Callable[[], None]) -> None:
        action()

    def drain(self) -> None:
        for place, chain in enumerate(self._chains):
            batch = chain.flush()
            for later in self._chains[place + 1 :]:
                batch = later.process(batch)

    def abandon(self) -> None:
        return

    def set_aside_count(self, source: str) -> int:
        return 0


class InlineEngine:
    """Runs a job in the calling process, one source after another.

    Args:
        duration_s: end after so many seconds of reading; None: at the end of the sources.
    """

    def __init__(self, duration_s: float | None = None) -> None:
        self._duration_s = duration_s
        self._stopping = threading.Event()
        self._source: Source | None = None

    def stop(self) -> None:
        """End soon, with everything finished; may be called from a signal handler or another thread."""
        self._stopping.set()
        if self._source is not None:
            self._source.stop()

    def close(self) -> None:
        return

    def run(self, job: Job, on_status: StatusCallback) -> Status:
        first = job.groups[0]
        assert first.source is not None
        source = self._source = build_stage(first.source, job.context)
        chains = [Chain.build(group, job.context) for group in job.groups]
        store = Checkpoints(job.checkpoints) if job.checkpoints else None
        reports: list[SourceReport] = []
        last = 0.0

        def status() -> Status:
            groups = [GroupStatus(group.name) for group in job.groups]
            for group, chain in zip(groups, chains, strict=True):
                add_metrics(group, [asdict(m) for m in chain.metrics()])
            return Status(groups, [*reports])

        def report_status() -> None:
            nonlocal last
            if time.monotonic() - last > REPORT_EVERY_S:
                last = time.monotonic()
                now = status()
                now.sources.append(source.report())
                on_status(now)

        for chain in chains:
            chain.open()
        save = store.save if store else None
        if self._duration_s is not None:
            timer = threading.Timer(self._duration_s, self.stop)
            timer.daemon = True
            timer.start()
        runner = SourceRunner(
            source, chains[0], DirectOutbox(chains[1:], report_status), save, job.checkpoint_every_s, job.settings_digest
        )
        try:
            for spec in job.sources:
                done, point = resume_point(job, spec)
                if done:
                    reports.append(done)
                    continue
                reports.append(runner.run(spec, point, self._stopping))
            final = status()
            on_status(final)
            return final
        finally:
            source.close()
            for chain in chains:
                chain.close()
            if store:
                store.close()
