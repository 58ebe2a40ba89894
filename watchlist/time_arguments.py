"""Parse times given by a user: date, time, Unix seconds or PTS seconds."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as clock

MIN_UNIX_S = 1e8  # smaller numbers are PTS seconds: three years of video
MAX_UNIX_S = 1e11  # the year 5138; larger ones are milliseconds
ALLOWED_TIMES = "must be a time like 2026-11-01 or 2026-11-01T18:30, Unix seconds (1764547200), or PTS seconds below 100000000"


@dataclass(frozen=True)
class TimePoint:
    """A point in time; both are None if no time was given.

    Attributes:
        at: Unix time.
        pts_s: PTS seconds of a recording.
    """

    at: float | None = None
    pts_s: float | None = None


def parse_time(option: str, text: str | None, end: bool = False) -> TimePoint:
    """Parse a time given by a user.

    Args:
        option: name of the option, for errors.
        text: a date (also as eight digits), a date and time (in the machine's zone if it has no offset), Unix seconds from 1e8
            on, or PTS seconds; None: no time.
        end: a date means its last moment instead of its first.

    Raises:
        ValueError: it is none of these. The text says what is allowed.
    """
    if text is None:
        return TimePoint()
    word = text.strip()
    with suppress(ValueError, OverflowError, OSError):
        return TimePoint(at=datetime.combine(date.fromisoformat(word), clock.max if end else clock.min).timestamp())
    if re.fullmatch(r"[+-]?(\d[\d_]*\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", word, re.IGNORECASE):
        try:
            seconds = float(word)
        except ValueError:
            seconds = math.nan
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"{option} {text}: {ALLOWED_TIMES}")
        if seconds >= MAX_UNIX_S:
            raise ValueError(f"{option} {text}: looks like milliseconds, Unix time is in seconds ({seconds / 1000:.0f})")
        return TimePoint(at=seconds) if seconds >= MIN_UNIX_S else TimePoint(pts_s=seconds)
    try:
        return TimePoint(at=datetime.fromisoformat(word).timestamp())
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{option} {text}: {ALLOWED_TIMES}") from None


def parse_time_range(since: str | None, until: str | None, prefix: str = "--") -> tuple[TimePoint, TimePoint]:
    """Parse the start and the end of a range.

    Args:
        since: start of the range, as in `parse_time`.
        until: end of the range; a date includes the whole day.
        prefix: stands before the option names in errors.

    Raises:
        ValueError: a time is wrong, or the end is before the start.
    """
    first, last = parse_time(f"{prefix}since", since), parse_time(f"{prefix}until", until, end=True)
    for begin, end in ((first.at, last.at), (first.pts_s, last.pts_s)):
        if begin is not None and end is not None and begin > end:
            raise ValueError(f"{prefix}since {since}: is after {prefix}until {until}")
    return first, last


def require_one_of(option: str, given: str, allowed: Sequence[str]) -> str:
    """Return ``given`` if it is allowed. Raises ValueError, which lists what is allowed and suggests the nearest."""
    if given in allowed:
        return given
    near = difflib.get_close_matches(given, allowed, 1)
    shown = ", ".join(allowed[:10]) + (f" and {len(allowed) - 10} more" if len(allowed) > 10 else "")
    hint = f"; did you mean {near[0]}?" if near and len(allowed) > 1 else ""
    raise ValueError(f"{option} {given}: must be one of {shown or 'none: there is no track yet'}{hint}")
