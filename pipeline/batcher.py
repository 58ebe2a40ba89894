"""Gathers the batches of many callers into larger ones, so that a network sees full batches across cameras."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from pipeline.protocol import Batch
from pipeline.strikes import MOST, Aside, Strikes


@dataclass
class _Call:
    """A caller's batch; ``alone``: it is not put together with others any more."""

    records: Batch
    name: str
    done: Future[Aside] = field(default_factory=Future)
    alone: bool = False


class Batcher:
    """`submit` gives a future that is done when the records are processed and delivered; it tells what was set aside.

    One thread runs ``work`` on up to ``size`` records, waiting ``wait_s`` for more, and then ``send``, which must not
    block; so records leave in the order they came. ``confirm`` waits for what ``send`` gave, in other threads
    (``confirmers`` of them), so that the next batch is computed while the last one travels.

    A batch that ends in an error is no harm to those it was worked on with: each is tried again alone, and only the one that
    fails is told so. With ``strikes`` a batch that has killed this process is tried again alone and record by record, and the
    record that kills it for the third time is set aside.
    """

    def __init__(
        self,
        work: Callable[[Batch], Batch],
        send: Callable[[Batch], Any],
        confirm: Callable[[Any], Aside | None],
        size: int,
        wait_s: float,
        confirmers: int,
        strikes: Strikes | None = None,
    ) -> None:
        self._work, self._send, self._confirm, self._size, self._wait_s = work, send, confirm, size, wait_s
        self._strikes = strikes
        self._waiting: queue.Queue[_Call] = queue.Queue()
        self._next: _Call | None = None  # taken from the queue, but not to be put together with those before it
        self._confirmers = ThreadPoolExecutor(confirmers)
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, batch: Batch, name: str = "") -> Future[Aside]:
        """Have a batch processed. ``name`` is its own, and the same when it comes again."""
        call = _Call(batch, name)
        if self._strikes and self._strikes.deaths(name):
            call.alone = True
        self._waiting.put(call)
        return call.done

    @property
    def queued(self) -> int:
        return self._waiting.qsize() + (self._next is not None)

    def _run(self) -> None:
        while True:
            calls: list[_Call] = []
            try:
                self._gather(calls)
                self._process(calls)
            except BaseException as error:  # whatever it is, this thread is the only one: callers are told, and it goes on
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
        lost: Aside = {}
        try:
            if self._strikes and self._strikes.deaths(names[0]):  # such a call comes alone
                results, lost = self._one_by_one(calls[0], self._strikes)
            else:
                if self._strikes:
                    self._strikes.begin(*names)
                results = self._work([record for call in calls for record in call.records])
            sent = self._send(results) if results else None
        except BaseException as error:
            self._failed(calls, error)
            return
        finally:
            if self._strikes:
                self._strikes.end(*names)
        self._confirmers.submit(self._finish, sent, calls, lost)

    def _one_by_one(self, call: _Call, strikes: Strikes) -> tuple[Batch, Aside]:
        """The results of a batch that has killed this process before, without the record that did; and what was set aside."""
        results: Batch = []
        lost: Aside = {}
        for number, record in enumerate(call.records):
            name = f"{call.name}.{number}"
            if strikes.deaths(name) >= MOST - 1:  # once with the others
                lost[name] = {str(getattr(record, "source", "")): 1}
                strikes.set_aside(name, lost[name])
                continue
            strikes.begin(name)
            try:
                results += self._work([record])
            finally:
                strikes.end(name)
        return results, lost

    def _failed(self, calls: list[_Call], error: BaseException) -> None:
        """Tell the caller; of several, find out whose batch it was."""
        if len(calls) == 1:
            _settle(calls[0], error)
            return
        for call in calls:
            call.alone = True
            self._waiting.put(call)

    def _finish(self, sent: Any, calls: list[_Call], lost: Aside) -> None:
        try:
            aside = lost | ((self._confirm(sent) if sent is not None else None) or {})
        except BaseException as error:
            self._failed(calls, error)
            return
        for call in calls:
            _settle(call, aside)


def _settle(call: _Call, result: Aside | BaseException) -> None:
    try:
        if isinstance(result, BaseException):
            call.done.set_exception(result)
        else:
            call.done.set_result(result)
    except InvalidStateError:  # the caller does not wait any more
        return
