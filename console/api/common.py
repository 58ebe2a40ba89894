"""Shared parts of the API's routes: users by role, paging, the filter of sightings, and sightings as JSON."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar
from urllib.parse import quote

from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from console.auth import User, require
from console.problems import Problem, allowed, not_found
from watchlist.feed import FeedFilter
from watchlist.time_arguments import parse_time_range

Viewer = Annotated[User, Depends(require("viewer"))]
Reviewer = Annotated[User, Depends(require("reviewer"))]
Operator = Annotated[User, Depends(require("operator"))]
Admin = Annotated[User, Depends(require("admin"))]
MAX_ID = 2**63 - 1  # largest integer of SQLite
Id = Annotated[int, Query(ge=1, le=MAX_ID)]
Limit = Annotated[int, Query(ge=1, le=500, description="largest number of rows per page")]
Item = TypeVar("Item")


class Best(BaseModel):
    pts_s: float | None
    box: list[float] | None
    crop: str | None


class Sighting(BaseModel):
    """A track and its decision: the fields of ``sightings.jsonl``, and further ones of the console."""

    source: str
    track: str
    start_s: float
    end_s: float
    outcome: str
    identity: int | None
    name: str | None
    score: float | None
    threshold: float | None
    fpir: float
    shots: int
    face_px: float
    best: Best
    reasons: list[str]
    review: str = Field(description="open, second (a second person has to confirm), confirmed or rejected")
    final: bool = Field(description="false for a match whose track is still in view")
    nearest: str | None = Field(description="name of the nearest person on the list, for any outcome")
    quality: float
    started_at: float | None = Field(description="Unix time; null if the time of day is not known")
    ended_at: float | None
    crop: str | None = Field(description="address of the original crop")
    restored: str | None = Field(description="address of the super-resolved chip, which is synthetic")


class SightingPage(BaseModel):
    items: list[Sighting]
    next: str | None = Field(description="value of `after` for the next page")


def sighting(row: dict[str, Any]) -> Sighting:
    """Convert a row of the feed (`watchlist.feed`)."""
    best = Best(pts_s=row["best_pts_s"], box=row["best_box"], crop=row["crop"])
    pictures = {kind: picture_address(row, kind) for kind in ("crop", "restored")}
    more = {"best": best, "final": bool(row["final"]), "review": row["review"] or "open"}
    return Sighting(**(row | pictures | more))


def picture_address(row: dict[str, Any], kind: str) -> str | None:
    """Address of a track's ``crop`` or ``restored`` chip; None if it has none."""
    if not row[kind]:
        return None
    return f"/picture?source={quote(row['source'], safe='')}&track={quote(row['track'], safe='')}&kind={kind}"


def split_after(after: str) -> tuple[str, str]:
    """Split SOURCE/TRACK, the last track of the page before, into source and track. A source may contain slashes."""
    source, _, track = after.rpartition("/")
    return source, track


def feed_filter(
    user: Viewer,
    outcome: Annotated[str | None, Query(pattern="^(match|no_match|not_assessable)$")] = None,
    source: str | None = None,
    person: Annotated[int | None, Query(ge=1, le=MAX_ID, description="id of the matched person")] = None,
    review: Annotated[
        str | None, Query(pattern="^(open|second|confirmed|rejected)$", description="open: matches to review")
    ] = None,
    since: Annotated[str | None, Query(description="time such as 2026-11-01T18:30, or Unix seconds")] = None,
    until: str | None = None,
    min_px: Annotated[float | None, Query(ge=0, le=1e6, description="face width in pixels")] = None,
    max_px: Annotated[float | None, Query(ge=0, le=1e6)] = None,
) -> FeedFilter:
    """Dependency: the requested filter, restricted to the cameras that the user may see. Raises Problem 422."""
    first, last = allowed(lambda: parse_time_range(since or None, until or None, prefix=""))
    if first.pts_s is not None or last.pts_s is not None:
        raise Problem(422, "Not allowed", "since, until: must be a time of day or Unix seconds here, not PTS seconds")
    people = None if person is None else (person,)
    return FeedFilter(outcome, source or None, user.cameras, people, first.at, last.at, min_px, max_px, review)


def require_track(request: Request, user: User, source: str, track: str) -> dict[str, Any]:
    """Find a track that the user may see.

    Returns:
        Its row in the feed.

    Raises:
        Problem: 404 if there is no such finished or matched track, or the user may not see its source.
    """
    from console.context import console_of

    store = console_of(request).reader()
    row = store.feed_row(source, track) if user.sees(source) else None
    if row is None:
        raise not_found(f"{source}/{track}: no such track")
    return row
