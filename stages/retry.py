"""Reading and writing that outlasts a full disk and a locked database."""

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
WAIT_S = (0.2, 5.0)


def patiently(work: Callable[[], Result], keep_trying: bool, out: Path, counts: Counter[str], what: str = "writing") -> Result:
    """Run ``work`` and return its result.

    It may be called again: with ``keep_trying`` until disk and database let it, each failure counted as trouble in ``what``.

    Raises:
        OutputError: at the first failure, without ``keep_trying``.
    """
    wait_s = WAIT_S[0]
    while True:
        try:
            return work()
        except (OSError, sqlite3.OperationalError, StoreUnavailable) as error:
            why = getattr(error, "strerror", None) or str(error)
            if not keep_trying:
                raise OutputError(f"cannot write to {out}: {why}; what was written is kept, go on with --resume") from None
            counts[f"trouble: {what}: {why}"] += 1
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, WAIT_S[1])
