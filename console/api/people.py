"""The people on the list: look, change, enrol, import."""

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
    photos: int = Field(description="photos that are looked for")
    enabled: bool
    version: int = Field(description="counts changes; send it with a change, which is refused where somebody else was first")
    picture: str | None = Field(description="address of the first photo's face")


class Refused(BaseModel):
    photo: str
    reason: str
    at: float


class PersonDetail(Person):
    photo_list: list[Photo]
    refused: list[Refused] = Field(description="photos that were refused, the newest first")
    sightings: int = Field(description="tracks that matched; counts stop at 1000")


class PersonPage(BaseModel):
    items: list[Person]
    next: int | None = Field(description="value of `after` for the next page")


class PersonChange(BaseModel):
    """Fields that are left out stay; "" empties one."""

    version: int | None = Field(None, description="of the person as you read it; another one is answered with 409")
    name: str | None = Field(None, max_length=500)
    external_id: str | None = Field(None, max_length=500)
    purpose: str | None = Field(None, max_length=4000)
    authority: str | None = Field(None, max_length=4000)
    expires: str | None = Field(None, max_length=10, description="last day, as 2030-12-31")
    enabled: bool | None = None


class Removed(BaseModel):
    left: list[str] = Field(description="files that may still hold something, because others use them")
    videos: list[str] = Field(description="annotated videos with the name drawn in; delete them or draw them anew")


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
    """Change name, details, or whether the person is looked for."""
    return change_person(request, user, identity, given)


def change_person(request: Request, user: User, identity: int, given: PersonChange) -> Person:
    """Change a person. Raises Problem 404, 409 where somebody else was first, 422."""
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
    """Refuse names and details that the list cannot hold. Raises Problem 422."""
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
    """The store, where its list may be changed. Raises Problem 409 where it follows another one, or is read-only."""
    try:
        store.require_writable()
    except StoreError as error:
        raise Problem(409, "Read-only", str(error)) from None
    if origin := store.copied_from():
        raise Problem(409, "A copy", f"this list is a copy of {origin}, which would undo the change: change that one")
    return store


@router.delete("/{identity}")
def remove(request: Request, user: Operator, identity: PersonId) -> Removed:
    """Take a person off the list: photos, embeddings, name and details are deleted."""
    with console_of(request).writer(user.name) as store:
        left = remove_person(own_list(store), identity)
        videos = [path.name for path in videos_of_person(store, identity) if user.sees(path.stem)]
    if left is None:
        raise not_found(f"person {identity}: nobody on the list has this id")
    return Removed(left=left, videos=videos)


@router.post("/{identity}/merge/{into}")
def merge(request: Request, user: Operator, identity: PersonId, into: PersonId) -> Person:
    """Merge two entries of one person: photos and sightings of the first become the second's."""
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
    """Stop using one photo, or use it again."""
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
