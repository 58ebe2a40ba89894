"""Gathers the batches of many callers into larger ones, so that a network sees full batches across cameras."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from pipeline.protocol import Batch


class Batcher:
    """`submit` blocks until the records are processed and delivered.

    One thread runs ``work`` on up to ``size`` records, waiting ``wait_s`` for more; ``deliver`` hands the results on from other
    threads (``senders`` of them), so that the next batch is computed while the last one travels.
    """

    def __init__(self, work: Callable[[Batch], Batch], deliver: Callable[[Batch], None], size: int, wait_s: float, senders: int) -> None:
        self._work, self._deliver, self._size, self._wait_s = work, deliver, size, wait_s
        self._waiting: queue.Queue[tuple[Batch, Future[None]]] = queue.Queue()
        self._senders = ThreadPoolExecutor(senders)
        threading.Thread(target=self._run, daemon=True).start()

    def submit(self, batch: Batch) -> None:
        done: Future[None] = Future()
        self._waiting.put((batch, done))
        done.result()

    @property
    def queued(self) -> int:
        return self._waiting.qsize()

    def _run(self) -> None:
        while True:
            records, callers = self._gather()
            try:
                results = self._work(records)
            except BaseException as error:
                for caller in callers:
                    caller.set_exception(error)
                continue
            self._senders.submit(self._send, results, callers)

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

    def _send(self, results: Batch, callers: list[Future[None]]) -> None:
        try:
            if results:
                self._deliver(results)
        except BaseException as error:
            for caller in callers:
                caller.set_exception(error)
            return
        for caller in callers:
            caller.set_result(None)
