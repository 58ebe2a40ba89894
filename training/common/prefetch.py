"""Compute batches in background threads while the network trains on earlier ones."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any


def prefetch(make: Callable[[int], Any], start: int, stop: int, threads: int = 1, depth: int = 4) -> Iterator[Any]:
    """Yield ``make(step)`` for each step in order, computed in background threads.

    Args:
        make: computes one batch; called from several threads.
        start: first step.
        stop: step after the last.
        threads: number of threads; they end with the generator.
        depth: largest number of batches in memory. Raise it if the time per batch varies; memory use grows with it.

    Raises:
        Exception: any exception of ``make``, raised at its step.
    """
    slots: list[queue.Queue[Any]] = [queue.Queue(max(1, depth // threads)) for _ in range(threads)]
    ended = threading.Event()

    def hand(slot: queue.Queue[Any], item: Any) -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                return slot.put(item, timeout=0.2)

    def work(worker: int) -> None:
        with contextlib.suppress(OSError, AttributeError):  # background threads run at nice 10, so training has priority
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        for step in range(start + worker, stop, threads):
            if ended.is_set():
                return
            try:
                hand(slots[worker], make(step))
            except Exception as error:  # passed to the consumer, which raises it
                hand(slots[worker], error)
                return

    workers = [threading.Thread(target=work, args=(worker,), daemon=True) for worker in range(threads)]
    for thread in workers:
        thread.start()
    try:
        for step in range(start, stop):
            item = slots[(step - start) % threads].get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        ended.set()
        for thread in workers:
            thread.join()
