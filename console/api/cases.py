"""API: cases, which collect tracks of several people and sources with notes, and their export as a zip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from console.api.common import MAX_ID, Operator, Sighting, Viewer, require_track, sighting
from console.auth import User
from console.context import console_of
from console.pages import cases as pages
from console.problems import Problem, not_found
from watchlist.cases import Case
from watchlist.database import StoreError
from watchlist.store import Store

router = APIRouter(prefix="/api/v1/cases", tags=["cases"])
CaseId = Annotated[int, InPath(ge=1, le=MAX_ID)]
Result = TypeVar("Result")


class CaseInfo(BaseModel):
    id: int
    name: str
    note: str
    created: float
    user: str
    closed: float | None
    tracks: int


class CaseTrack(BaseModel):
    note: str
    user: str
    at: float
    sighting: Sighting


class CaseDetail(CaseInfo):
    items: list[CaseTrack]


class NewCase(BaseModel):
    name: str = Field(min_length=1, max_length=300)
    note: str = Field("", max_length=20_000)


class CaseChange(BaseModel):
    name: str | None = Field(None, min_length=1, max_length=300)
    note: str | None = Field(None, max_length=20_000)
    closed: bool | None = None


class TrackNote(BaseModel):
    note: str = Field("", max_length=20_000)


@router.get("")
def cases(request: Request, user: Viewer) -> list[CaseInfo]:
    """All cases, newest first."""
    return [CaseInfo(**vars(case)) for case in console_of(request).reader().cases(sources=user.cameras)]


def existing(request: Request, user: User, identity: int) -> Case:
    """Find a case; its number of tracks counts those that the user may see. Raises Problem 404."""
    case = console_of(request).reader().case(identity, user.cameras)
    if case is None:
        raise not_found(f"case {identity}: there is none with this ID")
    return case


def _changed(request: Request, user: User, change: Callable[[Store], Result]) -> Result:
    """Apply a change to the database and return its result. A StoreError becomes Problem 422."""
    try:
        with console_of(request).writer(user.name) as store:
            return change(store)
    except StoreError as error:
        raise Problem(422, "Not allowed", str(error)) from None


@router.post("", status_code=201)
def add(request: Request, user: Operator, given: NewCase) -> CaseInfo:
    """Open a case."""
    identity = _changed(request, user, lambda store: store.add_case(given.name, given.note))
    return CaseInfo(**vars(existing(request, user, identity)))


@router.get("/{identity}")
def detail(request: Request, user: Viewer, identity: CaseId) -> CaseDetail:
    """A case, with the tracks that you may see."""
    case, store = existing(request, user, identity), console_of(request).reader()
    items = []
    for member in store.case_tracks(identity):
        row = store.feed_row(member.source, member.track) if user.sees(member.source) else None
        if row is not None:
            items.append(CaseTrack(note=member.note, user=member.user, at=member.at, sighting=sighting(row)))
    return CaseDetail(**vars(case), items=items)


@router.patch("/{identity}")
def change(request: Request, user: Operator, identity: CaseId, given: CaseChange) -> CaseInfo:
    """Change the name or note of a case, close it, or open it again."""
    existing(request, user, identity)
    _changed(request, user, lambda store: store.change_case(identity, given.name, given.note, given.closed))
    return CaseInfo(**vars(existing(request, user, identity)))


@router.delete("/{identity}", status_code=204)
def remove(request: Request, user: Operator, identity: CaseId) -> None:
    """Delete a case; its tracks stay. Refused if the case holds tracks of cameras that you may not see."""
    existing(request, user, identity)
    pages.check_deletion(console_of(request), user, identity)
    _changed(request, user, lambda store: store.remove_case(identity))


@router.put("/{identity}/tracks/{source}/{track}")
def put_track(request: Request, user: Operator, identity: CaseId, source: str, track: str, given: TrackNote) -> CaseInfo:
    """Add a track to a case, or change the note on it."""
    existing(request, user, identity)
    require_track(request, user, source, track)

    def put(store: Store) -> None:
        if not store.add_to_case(identity, [(source, track)], given.note):
            store.set_track_note(identity, source, track, given.note)

    _changed(request, user, put)
    return CaseInfo(**vars(existing(request, user, identity)))


@router.delete("/{identity}/tracks/{source}/{track}", status_code=204)
def delete_track(request: Request, user: Operator, identity: CaseId, source: str, track: str) -> None:
    """Remove a track from a case."""
    existing(request, user, identity)
    if not user.sees(source) or not _changed(request, user, lambda store: store.remove_from_case(identity, source, track)):
        raise not_found(f"case {identity} does not hold {source}/{track}")


@router.get("/{identity}/export")
def export(request: Request, user: Operator, identity: CaseId) -> Response:
    """Export a case as a zip: decisions, pictures, enrolled photos, notes, reviews and SHA-256 checksums."""
    existing(request, user, identity)
    return pages.archive(request, user, identity)
