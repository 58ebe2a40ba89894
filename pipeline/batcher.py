"""Merges the batches of many callers, so that a network gets full batches across cameras."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline.crash_counter import MAX_CRASHES, CrashCounter, SetAside
from pipeline.protocol import Batch


@dataclass
class _Call:
    """A caller's batch. ``alone``: it must not be merged with others."""

    records: Batch
    name: str
    done: Future[SetAside] = field(default_factory=Future)
    alone: bool = False


class Batcher:
    """Processes batches of several callers together, in the order they came.

    One thread calls ``work`` and then ``send``. Other threads call ``confirm``, so the next batch is computed while the last
    one travels. If a merged batch fails, each of its batches is retried alone, and only the caller of a failing batch gets
    the error.

    Args:
        work: processes records.
        send: starts the delivery of the results; must not block.
        confirm: waits for what ``send`` returned; returns the records that later groups gave up (`SetAside`).
        size: largest number of records in a merged batch.
        wait_s: longest wait for further batches; higher gives fuller batches and more delay.
        confirmers: number of threads that wait in ``confirm``.
        crash_counter: if given, a batch that killed this process is retried record by record. A record that kills it three
            times is set aside.
    """

    def __init__(
        self,
        work: Callable[[Batch], Batch],
        send: Callable[[Batch], Any],
        confirm: Callable[[Any], SetAside | None],
        size: int,
        wait_s: float,
        confirmers: int,
        crash_counter: CrashCounter | None = None,
    ) -> None:
        self._work, self._send, self._confirm, self._size, self._wait_s = work, send, confirm, size, wait_s
        self._crash_counter = crash_counter
        self._waiting: queue.Queue[_Call] = queue.Queue()
        self._next: _Call | None = None  # taken from the queue, but not to be merged with those before it
        self._confirmers = ThreadPoolExecutor(confirmers)
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, batch: Batch, name: str = "") -> Future[SetAside]:
        """Queue a batch.

        Args:
            batch: the records.
            name: unique for the batch, and the same when it is sent again.

        Returns:
            A future that completes when the results are delivered. Its value is the records that were set aside.
        """
        call = _Call(batch, name)
        if self._crash_counter and self._crash_counter.crashes(name):
            call.alone = True
        self._waiting.put(call)
        return call.done

    @property
    def queued(self) -> int:
        """Number of waiting batches."""
        return self._waiting.qsize() + (self._next is not None)

    def _run(self) -> None:
        while True:
            calls: list[_Call] = []
            try:
                self._gather(calls)
                self._process(calls)
            except BaseException as error:  # the callers get the error; this only worker thread must continue
                for call in calls:
                    _settle(call, error)

    def _gather(self, calls: list[_Call]) -> None:
        first, self._next = self._next or self._waiting.get(), None
        calls.append(first)
        count, until = len(first.records), time.monotonic() + self._wait_s
        while count < self._size and not first.alone:
            try:
                call = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if call.alone:
                self._next = call
                break
            calls.append(call)
            count += len(call.records)

    def _process(self, calls: list[_Call]) -> None:
        names = [call.name for call in calls]
        lost: SetAside = {}
        try:
            if self._crash_counter and self._crash_counter.crashes(names[0]):  # such a batch is never merged
                results, lost = self._one_by_one(calls[0], self._crash_counter)
            else:
                if self._crash_counter:
                    self._crash_counter.begin(*names)
                results = self._work([record for call in calls for record in call.records])
            sent = self._send(results) if results else None
        except BaseException as error:
            self._failed(calls, error)
            return
        finally:
            if self._crash_counter:
                self._crash_counter.end(*names)
        self._confirmers.submit(self._finish, sent, calls, lost)

    def _one_by_one(self, call: _Call, crash_counter: CrashCounter) -> tuple[Batch, SetAside]:
        """Process a batch that has killed this process before. Returns the results, and the records that were set aside."""
        results: Batch = []
        lost: SetAside = {}
        for number, record in enumerate(call.records):
            name = f"{call.name}.{number}"
            if crash_counter.crashes(name) >= MAX_CRASHES - 1:  # the first crash was in the whole batch
                lost[name] = {str(getattr(record, "source", "")): 1}
                crash_counter.set_aside(name, lost[name])
                continue
            crash_counter.begin(name)
            try:
                results += self._work([record])
            finally:
                crash_counter.end(name)
        return results, lost

    def _failed(self, calls: list[_Call], error: BaseException) -> None:
        """Give the error to the caller. Several batches are tried again one by one."""
        if len(calls) == 1:
            _settle(calls[0], error)
            return
        for call in calls:
            call.alone = True
            self._waiting.put(call)

    def _finish(self, sent: Any, calls: list[_Call], lost: SetAside) -> None:
        try:
            aside = lost | ((self._confirm(sent) if sent is not None else None) or {})
        except BaseException as error:
            self._failed(calls, error)
            return
        for call in calls:
            _settle(call, aside)


def _settle(call: _Call, result: SetAside | BaseException) -> None:
    try:
        if isinstance(result, BaseException):
            call.done.set_exception(result)
        else:
            call.done.set_result(result)
    except InvalidStateError:  # the caller has stopped waiting
        return
