"""Flow control between actors: which replica gets a record, in which order, and how many batches may be in flight.

An actor knows the actors of the next group by name, so that it finds them again after a restart.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

from pipeline.crash_counter import SetAside
from pipeline.errors import OutputError
from pipeline.protocol import Batch
from pipeline.ray.environment import RayError, RayTaskError, ray
from pipeline.settings import GroupSettings


def split_by_key(batch: Batch, key: list[str], replicas: int) -> list[tuple[int, Batch]]:
    """Split a batch into (replica, part) pairs. Records with the same key always go to the same replica, in order.

    Args:
        batch: records.
        key: attributes that form the key.
        replicas: number of replicas.
    """
    if replicas == 1:
        return [(0, batch)]
    parts: dict[int, Batch] = {}
    for record in batch:
        name = "/".join(str(getattr(record, attribute)) for attribute in key)
        parts.setdefault(zlib.crc32(name.encode()) % replicas, []).append(record)
    return sorted(parts.items())


def describe_death(error: RayError) -> str:
    """One line for the user about an actor that died and is not replaced."""
    last = (str(error).strip().splitlines() or [""])[-1]
    return f"a worker died ({type(error).__name__}: {last}); what was written is kept"


class Sender:
    """Calls the actors of the next group. Numbers its calls to each, so that an `InOrderGate` can restore their order."""

    def __init__(self, actors: list[Any]) -> None:
        self.actors = actors
        self._id = uuid.uuid4().hex
        self._sent = [0] * len(actors)

    def call(self, replica: int, part: Batch) -> Any:
        """Send records to a replica; returns the reference of the answer."""
        number = self._sent[replica]
        self._sent[replica] += 1
        return self.actors[replica].process.remote(part, self._id, number)


class InOrderGate:
    """Lets the calls of each sender pass in the order of their numbers. Ray does not keep the order for concurrent actors.

    A call waits at most `GRACE_S` for the one before it, which may have been processed before this actor was restarted.
    """

    GRACE_S = 0.5

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    async def wait_for_turn(self, sender: str, number: int) -> None:
        """Wait until all earlier calls of this sender have passed."""
        until = time.monotonic() + self.GRACE_S
        while number > self._next.get(sender, 0) and time.monotonic() < until:
            await asyncio.sleep(0.001)
        self._next[sender] = max(self._next.get(sender, 0), number + 1)


class CreditOutbox:
    """Sends batches to the actors of the next group, with at most ``group.queue`` of them unacknowledged.

    A call is acknowledged when the batch has passed all later groups, so it is written then. Ray repeats a call whose actor died,
    so a batch arrives at least once, unless it is set aside.

    Args:
        actors: the replicas of the next group.
        group: settings of the next group.
    """

    def __init__(self, actors: list[Any], group: GroupSettings) -> None:
        self._sender, self._group = Sender(actors), group
        self._pending: deque[Any] = deque()
        self._held: deque[tuple[int, Batch]] = deque()
        self._marks: list[tuple[set[Any], Callable[[], None]]] = []
        self._aside: SetAside = {}
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Batches in flight or held back."""
        return len(self._pending) + len(self._held)

    def send(self, batch: Batch) -> None:
        if batch:
            self._held.extend(split_by_key(batch, self._group.key, len(self._sender.actors)))
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

    def when_written(self, action: Callable[[], None]) -> None:
        self._marks.append((set(self._pending), action))
        self._reap(wait=False)

    def set_aside_count(self, source: str) -> int:
        return sum(records.get(source, 0) for records in self._aside.values())

    def abandon(self) -> None:
        self._held.clear()
        self._marks.clear()
        while self._pending:
            with contextlib.suppress(Exception):  # that it failed is known
                self._aside |= ray.get(self._pending.popleft())

    def drain(self) -> None:
        while self._held or self._pending:
            self.send([])
            if self._pending:
                self._reap(wait=True)
        self._reap(wait=False)

    def _reap(self, wait: bool) -> None:
        """Take back the credits of acknowledged batches; with ``wait``, block until there is one."""
        if self._pending:
            done, _ = ray.wait(list(self._pending), num_returns=1, timeout=None if wait else 0)
            if done:
                done, _ = ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
            for ref in done:
                self._pending.remove(ref)
                try:
                    self._aside |= ray.get(ref)  # raises the error of that actor
                except RayTaskError:
                    raise
                except RayError as error:
                    raise OutputError(describe_death(error)) from None
        waiting = set(self._pending)
        while self._marks and not self._marks[0][0] & waiting:
            self._marks.pop(0)[1]()


def wait_acknowledged(sent: list[Any]) -> SetAside:
    """Wait until calls are acknowledged; returns what was set aside."""
    aside: SetAside = {}
    for answer in ray.get(sent):
        aside |= answer
    return aside
