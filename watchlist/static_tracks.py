"""Tracks of things that never moved: they carry the reason ``static``, and are not assessable unless they match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

STATIC = "static"
STATIC_SQL = "(t.outcome = 'not_assessable' AND t.reasons LIKE '%\"static\"%')"  # of the table of tracks ``t``
UNUSABLE = "no_usable_shot", "low_quality"  # reasons for which there is nothing to compare


def outcome_of(outcome: str, reasons: Sequence[str]) -> str:
    """The outcome of a track that was compared: a static one that matches nobody is not assessable."""
    return "not_assessable" if outcome == "no_match" and STATIC in reasons else outcome


def is_comparable(row: dict[str, Any]) -> bool:
    """Whether a track's template may be compared: it is assessable, or nothing but static."""
    if row["outcome"] != "not_assessable":
        return True
    return STATIC in row["reasons"] and not any(reason.startswith(UNUSABLE) for reason in row["reasons"])
