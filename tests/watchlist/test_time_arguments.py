"""Times as users give them, on the command line and to the API."""

from __future__ import annotations

from datetime import date, datetime
from datetime import time as clock

import pytest

from watchlist.time_arguments import parse_time, parse_time_range, require_one_of


@pytest.mark.parametrize(
    ("text", "at", "pts_s"),
    [
        ("1764547200", 1764547200.0, None),  # what the API itself gives
        ("1764547200.5", 1764547200.5, None),
        ("4.5", None, 4.5),
        ("0", None, 0.0),
        ("3600", None, 3600.0),
        ("20261101", datetime(2026, 11, 1).timestamp(), None),
        ("2026-11-01", datetime(2026, 11, 1).timestamp(), None),
        ("2026-11-01T18:30", datetime(2026, 11, 1, 18, 30).timestamp(), None),
        ("2026-11-01T18:30:00+00:00", 1793557800.0, None),
        (None, None, None),
    ],
)
def test_unix_time_dates_and_places_in_a_recording_are_told_apart(
    text: str | None, at: float | None, pts_s: float | None
) -> None:
    found = parse_time("--since", text)
    assert (found.at, found.pts_s) == (at, pts_s)


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "-5", "yesterday", "", "1e400", "2026-13-01", "1_", "99999999999999", "²"]
)
def test_what_is_no_time_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match=r"--since .*(must be a time like|milliseconds)"):
        parse_time("--since", text)


def test_a_time_in_milliseconds_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"looks like milliseconds, Unix time is in seconds \(1764547200\)"):
        parse_time("--since", "1764547200000")


def test_an_end_is_the_whole_day_and_not_before_the_beginning() -> None:
    first, last = parse_time_range("2026-11-01", "2026-11-01")
    assert last.at == datetime.combine(date(2026, 11, 1), clock.max).timestamp() and first.at < last.at
    with pytest.raises(ValueError, match="--since 2026-11-02: is after --until 2026-11-01"):
        parse_time_range("2026-11-02", "2026-11-01")


def test_a_mistyped_camera_is_refused_with_the_names_there_are() -> None:
    assert require_one_of("--camera", "gate", ["gate", "hall"]) == "gate"
    with pytest.raises(ValueError, match=r"--camera gaet: must be one of gate, hall; did you mean gate\?"):
        require_one_of("--camera", "gaet", ["gate", "hall"])
