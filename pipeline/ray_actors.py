"""The thin Ray shell: an actor around a chain, an actor around a source runner, and the outbox between them.

Actors know those behind them by name, so that one that is restarted finds them again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.batcher import Batcher
from pipeline.chain import Chain
from pipeline.checkpoints import Checkpoints
from pipeline.errors import FarsightError
from pipeline.protocol import Batch, SourceReport, SourceSpec
from pipeline.ray_environment import ray
from pipeline.runner import SaveCheckpoint, SourceRunner
from pipeline.settings import GroupSettings, build_stage


def use_threads(count: int) -> None:
    """Set how many threads numeric libraries take; must run before one is imported, they read it once.

    Idle threads sleep instead of spinning: several actors share the cores, and spinning halved the speed of all.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(count)


def give_way() -> None:
    """Let this thread have what the others leave: whoever reads comes after those who work on what was read, so that a busy
    machine reads less rather than falls behind."""
    with contextlib.suppress(OSError, AttributeError):  # where the system knows how
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def split(batch: Batch, key: list[str], replicas: int) -> list[tuple[int, Batch]]:
    """The part of a batch for each replica: records with the same key always go to the same one, in order."""
    if replicas == 1:
        return [(0, batch)]
    parts: dict[int, Batch] = {}
    for record in batch:
        name = "/".join(str(getattr(record, attribute)) for attribute in key)
        parts.setdefault(zlib.crc32(name.encode()) % replicas, []).append(record)
    return sorted(parts.items())


class Sender:
    """Calls the actors of the next group; numbers its calls to each, so that they can be taken in order there."""

    def __init__(self, actors: list[Any]) -> None:
        self.actors = actors
        self._id = uuid.uuid4().hex
        self._sent = [0] * len(actors)

    def call(self, replica: int, part: Batch) -> Any:
        number = self._sent[replica]
        self._sent[replica] += 1
        return self.actors[replica].process.remote(part, self._id, number)


class Turns:
    """Lets the calls of each sender pass in the order of their numbers, which Ray does not promise for concurrent actors.

    A number that does not come within `GRACE_S` was taken before this actor was restarted, and is not waited for.
    """

    GRACE_S = 0.5

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    async def take(self, sender: str, number: int) -> None:
        until = time.monotonic() + self.GRACE_S
        while number > self._next.get(sender, 0) and time.monotonic() < until:
            await asyncio.sleep(0.001)
        self._next[sender] = max(self._next.get(sender, 0), number + 1)


def opened(chain: Chain) -> FarsightError | None:
    """Open a chain. An error for the user is kept to be told when asked: one raised in a constructor would not arrive."""
    try:
        chain.open()
    except FarsightError as error:
        return error
    return None


class CreditOutbox:
    """Sends batches to the actors of the next group, at most ``credits`` unacknowledged at a time.

    A call is acknowledged when the batch has gone through all later groups, so what `after_sent` waits for is written. Ray
    repeats a call whose actor died, so a batch arrives at least once.
    """

    def __init__(self, actors: list[Any], group: GroupSettings) -> None:
        self._sender, self._group = Sender(actors), group
        self._pending: deque[Any] = deque()
        self._held: deque[tuple[int, Batch]] = deque()
        self._marks: list[tuple[set[Any], Callable[[], None]]] = []
        self.dropped = 0

    @property
    def waiting(self) -> int:
        return len(self._pending) + len(self._held)

    def send(self, batch: Batch) -> None:
        if batch:
            self._held.extend(split(batch, self._group.key, len(self._sender.actors)))
        self._reap(wait=False)
        while self._held:
            if len(self._pending) >= self._group.queue:
                if self._group.full == "drop_oldest":
                    while len(self._held) > self._group.queue:
                        self.dropped += len(self._held.popleft()[1])
                    return
                self._reap(wait=True)
                continue
            replica, part = self._held.popleft()
            self._pending.append(self._sender.call(replica, part))

    def after_sent(self, action: Callable[[], None]) -> None:
        self._marks.append((set(self._pending), action))
        self._reap(wait=False)

    def drain(self) -> None:
        while self._held or self._pending:
            self.send([])
            if self._pending:
                self._reap(wait=True)
        self._reap(wait=False)

    def _reap(self, wait: bool) -> None:
        """Take back the credits of acknowledged batches; with ``wait`` until there is at least one."""
        if self._pending:
            done, _ = ray.wait(list(self._pending), num_returns=1, timeout=None if wait else 0)
            if done:
                done, _ = ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
            for ref in done:
                ray.get(ref)  # raises what went wrong there
                self._pending.remove(ref)
        waiting = set(self._pending)
        while self._marks and not self._marks[0][0] & waiting:
            self._marks.pop(0)[1]()


class GroupActor:
    """One replica of a group: gathers batches, runs its chain, passes the results on. Calls wait as coroutines."""

    def __init__(
        self,
        group: GroupSettings,
        context: dict[str, Any],
        threads: int,
        following: list[str],
        next_group: GroupSettings | None,
        checkpoints: Path | None,
    ) -> None:
        use_threads(threads)
        self._chain = Chain.build(group, context)
        self._fault = opened(self._chain)
        self._sender, self._next = Sender([ray.get_actor(name) for name in following]), next_group
        self._turns = Turns()
        self._batcher = Batcher(self._chain.process, self._send, ray.get, group.batch, group.wait_ms / 1000, group.queue)
        self._checkpoints = Checkpoints(checkpoints) if checkpoints else None

    async def ready(self) -> None:
        if self._fault:
            raise self._fault

    async def process(self, batch: Batch, sender: str, number: int) -> None:
        await self.ready()
        await self._turns.take(sender, number)
        await asyncio.wrap_future(self._batcher.submit(batch))

    def _send(self, results: Batch) -> list[Any] | None:
        if self._next is None:
            return None
        return [self._sender.call(i, part) for i, part in split(results, self._next.key, len(self._sender.actors))]

    async def save_checkpoint(self, source: str, url: str, pts_s: float, done: bool, state: bytes) -> None:
        if self._checkpoints:
            self._checkpoints.save(source, url, pts_s, done, state)

    async def status(self) -> dict[str, Any]:
        return {"stages": [asdict(m) for m in self._chain.metrics()], "queued": self._batcher.queued, "dropped": 0}

    async def finish(self) -> None:
        """Pass on what the stages still hold, and free them."""
        sent = self._send(self._chain.flush())
        if sent:
            await asyncio.gather(*sent)
        self._chain.close()


class SourceActor:
    """Reads sources, one after another, through the first group's chain."""

    def __init__(
        self,
        group: GroupSettings,
        context: dict[str, Any],
        threads: int,
        following: list[str],
        next_group: GroupSettings | None,
        writer: str | None,
        every_s: float,
        made_by: str,
    ) -> None:
        use_threads(threads)
        assert group.source is not None
        self._source = build_stage(group.source, context)
        self._chain = Chain.build(group, context)
        self._fault = opened(self._chain)
        self._outbox = CreditOutbox([ray.get_actor(name) for name in following], next_group or group)
        self._stopping = threading.Event()

        self._runner = SourceRunner(self._source, self._chain, self._outbox, _saver(writer) if writer else None, every_s, made_by)
        self._reading = False

    def ready(self) -> None:
        if self._fault:
            raise self._fault

    def run(self, spec: SourceSpec, resume: tuple[float, bytes] | None) -> SourceReport:
        self.ready()
        give_way()
        self._reading = True
        try:
            return self._runner.run(spec, resume, self._stopping)
        finally:
            self._reading = False

    def stop(self) -> None:
        self._stopping.set()
        self._source.stop()

    def status(self) -> dict[str, Any]:
        return {
            "stages": [asdict(m) for m in self._chain.metrics()],
            "queued": self._outbox.waiting,
            "dropped": self._outbox.dropped,
            "source": self._source.report() if self._reading else None,
        }

    def finish(self) -> None:
        self._chain.close()


def _saver(writer: str) -> SaveCheckpoint:
    """Saves checkpoints through the one actor that writes."""
    actor = ray.get_actor(writer)
    return lambda *checkpoint: ray.get(actor.save_checkpoint.remote(*checkpoint))
