"""Whether an error is one source's own, or ends the run; and how it is told."""

from __future__ import annotations

import errno
import sqlite3

from pipeline.errors import FarsightError, redact

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def cause_of(error: BaseException) -> BaseException:
    """The first error of those that Ray has put around each other."""
    while isinstance(inner := getattr(error, "cause", None), BaseException):
        error = inner
    return error


def ends_run(error: BaseException) -> bool:
    """Whether no other source could be finished either: nothing can be written, or a setting is wrong."""
    cause = cause_of(error)
    return isinstance(cause, FarsightError | sqlite3.Error) or (isinstance(cause, OSError) and cause.errno in DISK)


def told(error: BaseException, at_s: float) -> str:
    """One line about a fault in a stage at a time of the source."""
    cause = cause_of(error)
    where = next(iter(getattr(cause, "__notes__", [])), "its reader")
    why = " ".join(str(cause).split())[:300]
    return redact(f"fault in {where} at {at_s:.1f} s: {type(cause).__name__}{': ' if why else ''}{why}")
