"""Writing that outlasts a full disk and a locked database."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pipeline.errors import OutputError

Result = TypeVar("Result")
WAIT_S = (0.2, 5.0)


def patiently(write: Callable[[], Result], keep_trying: bool, out: Path, counts: Counter[str]) -> Result:
    """What ``write`` gives. It may be called again: with ``keep_trying`` until disk and database let it, each failure counted as
    trouble. Without, raises OutputError at the first failure.
    """
    wait_s = WAIT_S[0]
    while True:
        try:
            return write()
        except (OSError, sqlite3.OperationalError) as error:
            why = getattr(error, "strerror", None) or str(error)
            if not keep_trying:
                raise OutputError(f"cannot write to {out}: {why}; what was written is kept, go on with --resume") from None
            counts[f"trouble: writing: {why}"] += 1
        time.sleep(wait_s)
        wait_s = min(2 * wait_s, WAIT_S[1])
