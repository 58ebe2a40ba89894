"""The two kinds of actors: one runs a group's chain, one reads sources through the first group's chain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.batcher import Batcher
from pipeline.chain import Chain
from pipeline.checkpoints import Checkpoints
from pipeline.crash_counter import MAX_CRASHES, CrashCounter, SetAside
from pipeline.errors import FarsightError, OutputError
from pipeline.file_permissions import set_private_umask
from pipeline.protocol import Batch, SourceReport, SourceSpec
from pipeline.ray.environment import ray
from pipeline.ray.flow_control import CreditOutbox, InOrderGate, Sender, split_by_key, wait_acknowledged
from pipeline.runner import SaveCheckpoint, SourceRunner
from pipeline.settings import GroupSettings
from pipeline.stage_settings import build_stage
from pipeline.threads import set_thread_count


def lower_priority() -> None:
    """Run this thread at nice 19. Readers do so, so that a busy machine reads less and does not fall behind."""
    with contextlib.suppress(OSError, AttributeError):  # a system without priorities
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def open_chain(chain: Chain) -> FarsightError | None:
    """Open a chain and return an error for the user, if there is one: an error raised in an actor's constructor gets lost."""
    try:
        chain.open()
    except FarsightError as error:
        return error
    return None


class GroupActor:
    """One replica of a group: merges batches, runs its chain, sends the results on. Calls wait as coroutines.

    Args:
        group: its settings.
        context: values for stage keywords, by name.
        threads: threads of the numeric libraries.
        following: names of the actors of the next group.
        next_group: settings of the next group; None for the last.
        checkpoints: database for checkpoints; only the last group has one.
        crash_folder: name of the folder of its `CrashCounter`, below the temporary folder.
    """

    def __init__(
        self,
        group: GroupSettings,
        context: dict[str, Any],
        threads: int,
        following: list[str],
        next_group: GroupSettings | None,
        checkpoints: Path | None,
        crash_folder: str,
    ) -> None:
        set_private_umask()  # also in a cluster that somebody else has started
        set_thread_count(threads)
        self._crash_counter = CrashCounter(Path(tempfile.gettempdir()) / crash_folder)
        self._chain, self._fault = self._started(group, context)
        self._sender, self._next = Sender([ray.get_actor(name) for name in following]), next_group
        self._gate = InOrderGate()
        self._batcher = Batcher(
            self._chain.process,
            self._send,
            wait_acknowledged,
            group.batch,
            group.wait_ms / 1000,
            group.queue,
            self._crash_counter,
        )
        self._checkpoints = Checkpoints(checkpoints) if checkpoints else None

    def _started(self, group: GroupSettings, context: dict[str, Any]) -> tuple[Chain, FarsightError | None]:
        """Open the chain. If that has killed this worker too often, return an empty chain and the error."""
        if self._crash_counter.crashes("start") >= MAX_CRASHES:
            return Chain([]), OutputError(f"group {group.name}: its worker died {MAX_CRASHES} times while it started")
        self._crash_counter.begin("start")
        chain = Chain.build(group, context)
        fault = open_chain(chain)
        self._crash_counter.end("start")
        return chain, fault

    async def ready(self) -> None:
        """Returns when the chain is open; raises the error that prevented it."""
        if self._fault:
            raise self._fault

    async def process(self, batch: Batch, sender: str, number: int) -> SetAside:
        """Process call ``number`` of a sender. Returns when the results are written, with what was set aside."""
        await self.ready()
        await self._gate.wait_for_turn(sender, number)
        return await asyncio.wrap_future(self._batcher.submit(batch, f"{sender}-{number}"))

    def _send(self, results: Batch) -> list[Any] | None:
        if self._next is None:
            return None
        return [self._sender.call(i, part) for i, part in split_by_key(results, self._next.key, len(self._sender.actors))]

    async def save_checkpoint(self, source: str, url: str, pts_s: float, done: bool, state: bytes) -> None:
        """Write a checkpoint; for the arguments see `pipeline.checkpoints.Checkpoint`."""
        if self._checkpoints:
            self._checkpoints.save(source, url, pts_s, done, state)

    async def status(self) -> dict[str, Any]:
        """Metrics of the stages, batches waiting, and how much was dropped or set aside."""
        return {
            "stages": [asdict(m) for m in self._chain.metrics()],
            "queued": self._batcher.queued,
            "dropped": 0,
            "aside": len(self._crash_counter.all_set_aside()),
        }

    async def finish(self) -> None:
        """Send on what the stages still hold, and close them."""
        if self._crash_counter.crashes("finish") < MAX_CRASHES:
            self._crash_counter.begin("finish")
            sent = self._send(self._chain.flush())
            if sent:
                await asyncio.gather(*sent)
            self._chain.close()
            self._crash_counter.end("finish")


class SourceActor:
    """Reads sources, one after another, through the first group's chain.

    Args:
        group: settings of the first group.
        context: values for stage keywords, by name.
        threads: threads of the numeric libraries.
        following: names of the actors of the next group.
        next_group: settings of the next group.
        writer: name of the actor that writes checkpoints; None: keep none.
        every_s: seconds between checkpoints.
        settings_digest: the `fingerprint` of the settings.
    """

    def __init__(
        self,
        group: GroupSettings,
        context: dict[str, Any],
        threads: int,
        following: list[str],
        next_group: GroupSettings | None,
        writer: str | None,
        every_s: float,
        settings_digest: str,
    ) -> None:
        set_private_umask()  # also in a cluster that somebody else has started
        set_thread_count(threads)
        assert group.source is not None
        self._source = build_stage(group.source, context)
        self._chain = Chain.build(group, context)
        self._fault = open_chain(self._chain)
        self._outbox = CreditOutbox([ray.get_actor(name) for name in following], next_group or group)
        self._stopping = threading.Event()

        self._runner = SourceRunner(
            self._source, self._chain, self._outbox, _saver(writer) if writer else None, every_s, settings_digest
        )
        self._reading = False

    def ready(self) -> None:
        """Returns when the chain is open; raises the error that prevented it."""
        if self._fault:
            raise self._fault

    def run(self, spec: SourceSpec, resume: tuple[float, bytes] | None) -> SourceReport:
        """Read one source to its end; see `SourceRunner.run`."""
        self.ready()
        lower_priority()
        self._reading = True
        try:
            return self._runner.run(spec, resume, self._stopping)
        finally:
            self._reading = False

    def stop(self) -> None:
        """End reading soon."""
        self._stopping.set()
        self._source.stop()

    def status(self) -> dict[str, Any]:
        """Metrics of the stages, batches waiting and dropped, and the report of the source that is read."""
        return {
            "stages": [asdict(m) for m in self._chain.metrics()],
            "queued": self._outbox.waiting,
            "dropped": self._outbox.dropped,
            "source": self._source.report() if self._reading else None,
        }

    def finish(self) -> None:
        """Close the stages."""
        self._chain.close()


def _saver(writer: str) -> SaveCheckpoint:
    """A function that saves checkpoints through the actor that writes."""
    actor = ray.get_actor(writer)
    return lambda *checkpoint: ray.get(actor.save_checkpoint.remote(*checkpoint))
