"""Static tracks: things that never moved, such as posters. They have the reason ``static``; unless matched, not assessable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STATIC = "static"
STATIC_SQL = "(t.outcome = 'not_assessable' AND t.reasons LIKE '%\"static\"%')"  # of the table of tracks ``t``
UNUSABLE = "no_usable_shot", "low_quality"  # reasons for which there is nothing to compare


def outcome_of(outcome: str, reasons: Sequence[str]) -> str:
    """The final outcome of a compared track: ``no_match`` of a static track becomes ``not_assessable``."""
    return "not_assessable" if outcome == "no_match" and STATIC in reasons else outcome


def is_comparable(row: dict[str, Any]) -> bool:
    """Whether a track's template may be compared: the track is assessable, or not assessable only because it is static."""
    if row["outcome"] != "not_assessable":
        return True
    return STATIC in row["reasons"] and not any(reason.startswith(UNUSABLE) for reason in row["reasons"])
