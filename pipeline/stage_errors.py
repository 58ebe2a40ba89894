"""Decides whether an error of a stage ends one source or the whole run, and describes it in one line."""

from __future__ import annotations

import errno
import sqlite3

from pipeline.errors import FarsightError, redact

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def root_cause(error: BaseException) -> BaseException:
    """The original error inside the errors that Ray has wrapped around it."""
    while isinstance(inner := getattr(error, "cause", None), BaseException):
        error = inner
    return error


def ends_run(error: BaseException) -> bool:
    """Whether no other source could finish either: the output cannot be written, or a setting is wrong."""
    cause = root_cause(error)
    return isinstance(cause, FarsightError | sqlite3.Error) or (isinstance(cause, OSError) and cause.errno in DISK_ERRORS)


def describe_fault(error: BaseException, at_s: float) -> str:
    """One line about an error in a stage. ``at_s``: PTS seconds of the source when it happened."""
    cause = root_cause(error)
    where = next(iter(getattr(cause, "__notes__", [])), "its reader")
    why = " ".join(str(cause).split())[:300]
    return redact(f"fault in {where} at {at_s:.1f} s: {type(cause).__name__}{': ' if why else ''}{why}")
