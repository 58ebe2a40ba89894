"""API: groups of tracks that may show the same person who is not on the list. Off until an admin switches them on."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from console.api.common import Operator, Sighting, Viewer, sighting
from console.context import console_of
from console.pages.unknowns import groups_of
from console.problems import Problem

router = APIRouter(prefix="/api/v1/unknowns", tags=["unknowns"])
SHOWN = 12  # largest number of tracks listed for a group


class Group(BaseModel):
    """Tracks that may show the same person. A group is a suggestion, not a sighting."""

    seen: int = Field(description="number of tracks")
    first: float | None = Field(description="Unix time")
    last: float | None
    likeness: float = Field(description="lowest cosine that joins a track to the group")
    tracks: list[Sighting] = Field(description="the newest 12 of the tracks")


class Ignore(BaseModel):
    tracks: list[tuple[str, str]] = Field(min_length=1, max_length=5000, description="source and track of each")


@router.get("")
def unknowns(
    request: Request, user: Viewer, ignored: bool = False, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> list[Group]:  # fmt: skip
    """The groups, largest first."""
    store = console_of(request).reader()
    if store.preference("unknowns", False) is not True:
        raise Problem(
            403,
            "Switched off",
            "grouping of unknown people is off; an admin can switch it on, on the page Unknowns or by PATCH /api/v1/settings",
        )
    chosen = [group for group in groups_of(request).find(user) if group.ignored == ignored][:limit]
    return [
        Group(
            seen=len(group.tracks),
            first=group.first,
            last=group.last,
            likeness=group.likeness,
            tracks=[sighting(row) for row in store.feed_named(list(group.tracks[:SHOWN]))],
        )
        for group in chosen
    ]


@router.post("/ignore", status_code=204)
def ignore(request: Request, user: Operator, given: Ignore) -> None:
    """Ignore tracks: they are left out of the groups from now on."""
    chosen = [key for key in given.tracks if user.sees(key[0])]
    with console_of(request).writer(user.name) as store:
        store.ignore_tracks(chosen)
    groups_of(request).forget()
