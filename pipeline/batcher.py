"""Gathers the batches of many callers into larger ones, so that a network sees full batches across cameras."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipeline.protocol import Batch


class Batcher:
    """`submit` gives a future that is done when the records are processed and delivered.

    One thread runs ``work`` on up to ``size`` records, waiting ``wait_s`` for more, and then ``send``, which must not
    block; so records leave in the order they came. ``confirm`` waits for what ``send`` gave, in other threads
    (``confirmers`` of them), so that the next batch is computed while the last one travels.
    """

    def __init__(
        self,
        work: Callable[[Batch], Batch],
        send: Callable[[Batch], Any],
        confirm: Callable[[Any], None],
        size: int,
        wait_s: float,
        confirmers: int,
    ) -> None:
        self._work, self._send, self._confirm, self._size, self._wait_s = work, send, confirm, size, wait_s
        self._waiting: queue.Queue[tuple[Batch, Future[None]]] = queue.Queue()
        self._confirmers = ThreadPoolExecutor(confirmers)
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, batch: Batch) -> Future[None]:
        done: Future[None] = Future()
        self._waiting.put((batch, done))
        return done

    @property
    def queued(self) -> int:
        return self._waiting.qsize()

    def _run(self) -> None:
        while True:
            records, callers = self._gather()
            try:
                results = self._work(records)
                sent = self._send(results) if results else None
            except BaseException as error:
                for caller in callers:
                    caller.set_exception(error)
                continue
            self._confirmers.submit(self._finish, sent, callers)

    def _gather(self) -> tuple[Batch, list[Future[None]]]:
        batch, caller = self._waiting.get()
        records, callers = list(batch), [caller]
        until = time.monotonic() + self._wait_s
        while len(records) < self._size:
            try:
                batch, caller = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            records.extend(batch)
            callers.append(caller)
        return records, callers

    def _finish(self, sent: Any, callers: list[Future[None]]) -> None:
        try:
            if sent is not None:
                self._confirm(sent)
        except BaseException as error:
            for caller in callers:
                caller.set_exception(error)
            return
        for caller in callers:
            caller.set_result(None)
