"""Batches made in the background while the network learns from earlier ones."""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any


def prefetch(make: Callable[[int], Any], start: int, stop: int, threads: int = 1, depth: int = 4) -> Iterator[Any]:
    """Yield ``make(step)`` for each step, made in background threads, which end with the generator; step order is kept."""
    slots: list[queue.Queue[Any]] = [queue.Queue(max(1, depth // threads)) for _ in range(threads)]
    ended = threading.Event()

    def hand(slot: queue.Queue[Any], item: Any) -> None:
        while not ended.is_set():
            with contextlib.suppress(queue.Full):
                return slot.put(item, timeout=0.2)

    def work(worker: int) -> None:
        with contextlib.suppress(OSError, AttributeError):  # gives way to the threads that train, where the system knows how
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        for step in range(start + worker, stop, threads):
            if ended.is_set():
                return
            try:
                hand(slots[worker], make(step))
            except Exception as error:  # handed to the consumer, who raises it
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
