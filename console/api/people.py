"""API: list, change, merge and remove the people on the list, and their photos."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from console.api.common import MAX_ID, Limit, Operator, Viewer
from console.auth import User
from console.context import console_of
from console.problems import Problem, not_found
from watchlist.feed import FeedFilter
from watchlist.names import UNSAFE_CHARACTERS, is_date, normalised_name
from watchlist.people import Identity
from watchlist.removal import merge_people, remove_person, remove_photo, update_person, videos_of_person
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store

router = APIRouter(prefix="/api/v1/people", tags=["people"])
PersonId = Annotated[int, Path(ge=1, le=MAX_ID)]


class Photo(BaseModel):
    id: int
    photo: str = Field(description="name of the file")
    quality: float
    face_px: float
    enabled: bool
    picture: str = Field(description="address of the face")


class Person(BaseModel):
    id: int
    name: str
    external_id: str | None
    purpose: str | None
    authority: str | None
    expires: str | None
    photos: int = Field(description="number of enabled photos")
    enabled: bool
    version: int = Field(description="counts changes; a change sent with an older version is refused")
    picture: str | None = Field(description="address of the first photo's face")


class Refused(BaseModel):
    photo: str
    reason: str
    at: float


class PersonDetail(Person):
    photo_list: list[Photo]
    refused: list[Refused] = Field(description="refused photos, newest first")
    sightings: int = Field(description="number of matched tracks, at most 1000")


class PersonPage(BaseModel):
    items: list[Person]
    next: int | None = Field(description="value of `after` for the next page")


class PersonChange(BaseModel):
    """Changes of a person. Omitted fields stay as they are; "" clears a field."""

    version: int | None = Field(None, description="the version that you have read; the answer is 409 if it has changed")
    name: str | None = Field(None, max_length=500)
    external_id: str | None = Field(None, max_length=500)
    purpose: str | None = Field(None, max_length=4000)
    authority: str | None = Field(None, max_length=4000)
    expires: str | None = Field(None, max_length=10, description="last day, such as 2030-12-31")
    enabled: bool | None = None


class Removed(BaseModel):
    left: list[str] = Field(description="files that may still hold deleted content, because another program uses them")
    videos: list[str] = Field(description="annotated videos that show the name; delete or redraw them")


@router.get("")
def people(
    request: Request,
    user: Viewer,
    q: Annotated[str, Query(max_length=200, description="part of a name or external id")] = "",
    limit: Limit = 100,
    after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0,
) -> PersonPage:
    """The people on the list, by id."""
    store = console_of(request).reader()
    rows = [store.identity(found.id) for found in store.find_people(q, limit, after)]
    items = [_person(store, row) for row in rows if row is not None]
    return PersonPage(items=items, next=items[-1].id if len(items) == limit else None)


@router.get("/{identity}")
def person(request: Request, user: Viewer, identity: PersonId) -> PersonDetail:
    """One person, with all photos."""
    store = console_of(request).reader()
    row = store.identity(identity)
    if row is None:
        raise not_found(f"person {identity}: nobody on the list has this id")
    photos = [
        Photo(
            id=p.id,
            photo=p.photo,
            quality=p.quality,
            face_px=p.face_px,
            enabled=p.set_aside is None,
            picture=f"/people/{identity}/photos/{p.id}",
        )
        for p in store.enrolments(identity)
    ]
    refused = [Refused(photo=r.photo, reason=r.reason, at=r.at) for r in store.refusals(identity)]
    where = FeedFilter(identities=(identity,), outcome="match", sources=user.cameras)
    return PersonDetail(**_person(store, row).model_dump(), photo_list=photos, refused=refused, sightings=store.feed_count(where))


def _person(store: Store, row: Identity) -> Person:
    fields = {key: getattr(row, key) for key in ("id", "name", "external_id", "purpose", "authority", "expires", "photos")}
    picture = f"/enrolled/{row.id}" if store.photo_ids(row.id) else None
    return Person(**fields, enabled=row.set_aside is None, version=store.identity_version(row.id), picture=picture)


@router.patch("/{identity}")
def change(request: Request, user: Operator, identity: PersonId, given: PersonChange) -> Person:
    """Change name or details, enable or disable a person. A disabled person is not matched."""
    return change_person(request, user, identity, given)


def change_person(request: Request, user: User, identity: int, given: PersonChange) -> Person:
    """Change a person.

    Raises:
        Problem: 404 if there is no such person, 409 if the list is read-only or somebody else has changed the person, 422 if a
            field is invalid.
    """
    details = {k: v for k, v in given.model_dump(exclude={"version", "enabled"}).items() if v is not None}
    check_details(details)
    with console_of(request).writer(user.name) as store, own_list(store).transaction():
        row = store.identity(identity)
        if row is None:
            raise not_found(f"person {identity}: nobody on the list has this id")
        if given.version is not None and given.version != store.identity_version(identity):
            raise Problem(409, "Changed meanwhile", f"{row.name} was changed by somebody else; load the page again")
        try:
            if details:
                update_person(store, identity, **details)
                store.log_audit("update", identity=identity, changed=sorted(details))
            if given.enabled is not None and store.set_enabled(identity, given.enabled):
                store.log_audit("restore" if given.enabled else "set aside", identity=identity, photo=None)
        except StoreError as error:
            raise Problem(422, "Not allowed", str(error)) from None
        changed = store.identity(identity)
    assert changed is not None
    return _person(store, changed)


def check_details(details: dict[str, str]) -> None:
    """Check a person's fields, and normalise the name in place. Raises Problem 422."""
    try:
        if "name" in details:
            details["name"] = normalised_name(details["name"])
    except ValueError as error:
        raise Problem(422, "Not allowed", f"name: it {error}") from None
    if UNSAFE_CHARACTERS.search(details.get("external_id", "")):
        raise Problem(422, "Not allowed", "external_id: holds a line break or another control character")
    if details.get("expires") and not is_date(details["expires"]):
        raise Problem(422, "Not allowed", "expires: must be a date like 2030-12-31")


def own_list(store: Store) -> Store:
    """Return the store if its list may be changed. Raises Problem 409 if it is read-only or a copy of another list."""
    try:
        store.require_writable()
    except StoreError as error:
        raise Problem(409, "Read-only", str(error)) from None
    if origin := store.copied_from():
        raise Problem(409, "A copy", f"this list is a copy of {origin}, which would undo the change: change that one")
    return store


@router.delete("/{identity}")
def remove(request: Request, user: Operator, identity: PersonId) -> Removed:
    """Remove a person from the list: photos, embeddings, name and details are deleted."""
    with console_of(request).writer(user.name) as store:
        left = remove_person(own_list(store), identity)
        videos = [path.name for path in videos_of_person(store, identity) if user.sees(path.stem)]
    if left is None:
        raise not_found(f"person {identity}: nobody on the list has this id")
    return Removed(left=left, videos=videos)


@router.post("/{identity}/merge/{into}")
def merge(request: Request, user: Operator, identity: PersonId, into: PersonId) -> Person:
    """Merge two entries of the same person: the second gets the photos and sightings of the first, which is removed."""
    with console_of(request).writer(user.name) as store:
        try:
            merge_people(own_list(store), identity, into)
        except StoreError as error:
            raise Problem(422, "Not allowed", str(error)) from None
        row = store.identity(into)
    assert row is not None
    return _person(store, row)


class PhotoChange(BaseModel):
    enabled: bool


@router.patch("/{identity}/photos/{photo}")
def change_photo(request: Request, user: Operator, identity: PersonId, photo: PersonId, given: PhotoChange) -> PersonDetail:
    """Enable or disable one photo. A disabled photo is not matched."""
    with console_of(request).writer(user.name) as store:
        if own_list(store).set_enabled(identity, given.enabled, photo):
            store.log_audit("restore" if given.enabled else "set aside", identity=identity, photo=photo)
    return person(request, user, identity)


@router.delete("/{identity}/photos/{photo}")
def delete_photo(request: Request, user: Operator, identity: PersonId, photo: PersonId) -> Removed:
    """Delete one photo of a person."""
    with console_of(request).writer(user.name) as store:
        left = remove_photo(own_list(store), identity, photo)
    if left is None:
        raise not_found(f"person {identity}, photo {photo}: there is no such photo")
    return Removed(left=left, videos=[])
