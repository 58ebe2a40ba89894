"""Retries for reading and writing while the disk is full or the database is locked."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.errors import OutputError
from watchlist.database import StoreUnavailable

Result = TypeVar("Result")
BACKOFF_S = (0.2, 5.0)  # first and longest wait between attempts


def with_retries(work: Callable[[], Result], keep_trying: bool, out: Path, counts: Counter[str], task: str = "writing") -> Result:
    """Call ``work`` until it succeeds, and return its result.

    Args:
        work: what to do; it may be called several times.
        keep_trying: retry without end, waiting 0.2 to 5 seconds between attempts. False: the first failure is raised.
        out: the folder or file that is used, for the message.
        counts: gets one ``trouble: TASK: REASON`` per failure.
        task: the task in these counters.

    Raises:
        OutputError: ``work`` failed and ``keep_trying`` is False.
    """
    wait_s = BACKOFF_S[0]
    while True:
        try:
            return work()
        except (OSError, sqlite3.OperationalError, StoreUnavailable) as error:
            why = getattr(error, "strerror", None) or str(error)
            if not keep_trying:
                raise OutputError(f"cannot write to {out}: {why}; what was written is kept, go on with --resume") from None
            counts[f"trouble: {task}: {why}"] += 1
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, BACKOFF_S[1])
