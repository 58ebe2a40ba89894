"""Pages of the people on the list: find, show, enrol, change, remove and import them."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import HTMLResponse

from console.auth import User
from console.context import Console, console_of
from console.imports import imports_of
from console.pages.layout import (
    MAX_ID,
    Operator,
    Viewer,
    cards,
    done,
    entered_id,
    part,
    show,
    source_and_track,
    visible_row,
    wants_part,
)
from console.pages.timeline import day_lanes
from console.photo_desk import desk_of
from console.problems import Problem, not_found
from watchlist.database import StoreError
from watchlist.feed import FeedFilter
from watchlist.identities import DETAIL_FIELDS
from watchlist.names import UNSAFE_CHARACTERS, is_date, normalised_name
from watchlist.people_search import STATES
from watchlist.removal import remove_person, remove_photo, update_person

router = APIRouter(include_in_schema=False)
PAGE = 60  # people per page
SIGHTINGS = 12  # on a person's page
MAX_PHOTOS = 30  # per upload
MAX_PHOTO_BYTES = 30_000_000


@router.get("/people")
def people(
    request: Request, user: Viewer, q: str = "", state: str = "", after: Annotated[int, Query(ge=0, le=MAX_ID)] = 0
) -> HTMLResponse:
    """Show the list, or with htmx its next page."""
    if state and state not in STATES:
        raise Problem(422, "Not allowed", f"state {state[:40]}: must be one of {', '.join(STATES)}")
    store = console_of(request).reader()
    found = store.find_people(q.strip(), PAGE, after, state or None)
    query = urlencode({key: value for key, value in (("q", q), ("state", state)) if value})
    following = f"/people?{query}&after={found[-1].id}" if len(found) == PAGE else None
    if wants_part(request):
        return part(request, "people_page.html", people=found, following=following)
    return show(
        request, user, "people.html", "people", "People",
        people=found, following=following, q=q, state=state, states=STATES, total=store.count_people(),
        copied_from=store.copied_from(),
    )  # fmt: skip


@router.get("/people/add")
def add_form(
    request: Request, user: Operator, track: str = "", photo: str = "", face: int = 0, identity: int | None = None
) -> HTMLResponse:
    """Show the form to enrol somebody: from photos, from a face of an uploaded photo, or from a track."""
    console = console_of(request)
    row = visible_row(console, user, *source_and_track(track)) if track else None
    chosen = [desk_of(request).photo(user.name, photo)] if photo else []
    person = None if identity is None else _person(console, identity)
    return show(
        request,
        user,
        "enrol.html",
        "people",
        "Enrol",
        row=cards([row])[0] if row else None,
        photos=chosen,
        face=face,
        person=person,
    )


@router.post("/people/photos")
def upload(request: Request, user: Operator, photos: list[UploadFile], identity: Annotated[str, Form()] = "") -> HTMLResponse:
    """Store uploaded photos and show their faces, so that the user can choose one on each."""
    given = [photo for photo in photos if photo.filename]
    if not given:
        raise Problem(422, "No photo", "choose or drop at least one")
    if len(given) > MAX_PHOTOS:
        raise Problem(422, "Too many photos", f"{len(given)}, at most {MAX_PHOTOS} at a time; import a zip instead")
    found = []
    for photo in given:
        content = photo.file.read(MAX_PHOTO_BYTES + 1)
        if len(content) > MAX_PHOTO_BYTES:
            raise Problem(413, "Too large", f"{photo.filename}: more than {MAX_PHOTO_BYTES // 1_000_000} MB; make it smaller")
        found.append(desk_of(request).add(user.name, photo.filename or "", content))
    if wants_part(request):
        return part(request, "chosen_photos.html", photos=found, face=0)
    person = _person(console_of(request), entered_id(identity, "identity")) if identity else None
    return show(request, user, "enrol.html", "people", "Enrol", row=None, photos=found, face=0, person=person)


@router.get("/people/desk/{token}")
def desk_picture(request: Request, user: Operator, token: str, face: int = 0) -> Response:
    """An uploaded photo (``face`` 0) or one of its faces, as JPEG."""
    content = desk_of(request).picture(user.name, token, face)
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=1800"})


@router.post("/people")
async def enrol(request: Request, user: Operator) -> Response:
    """Enrol the chosen faces of uploaded photos, or the shots of a track, as a new person or one on the list."""
    from starlette.concurrency import run_in_threadpool

    form = await request.form()
    given = {key: value for key, value in form.items() if isinstance(value, str)}
    tokens = [value for value in form.getlist("token") if isinstance(value, str)]
    return await run_in_threadpool(_enrol, request, user, given, tokens)


def _enrol(request: Request, user: User, given: dict[str, str], tokens: list[str]) -> Response:
    console, desk = console_of(request), desk_of(request)
    identity = entered_id(text, "identity") if (text := given.get("identity", "")) else None
    person = None if identity is None else _person(console, identity)
    name = person.name if person is not None else _entered_name(given.get("name", ""))
    details = {} if person is not None else entered_details(given)
    entries = []
    for token in tokens:
        face = given.get(f"face-{token}", "")
        if face == "none":
            continue
        number = entered_id(face, "face") if face else None
        entries.append(desk.entry(user.name, token, name, number, details, identity))
    if track := given.get("track", ""):
        row = visible_row(console, user, *source_and_track(track))
        entries += desk.entries_of_track(row, name, details, identity)
    if not entries:
        raise Problem(422, "No face is chosen", "choose at least one face; a photo without a usable face cannot be enrolled")
    judged = desk.enrol(user.name, entries, given.get("lookalike") == "on")
    known = next((verdict.identity for verdict in judged if verdict.identity is not None), None)
    enrolled = [verdict for verdict in judged if not verdict.reason]
    if known is not None and len(enrolled) == len(judged):
        what = f"{len(enrolled)} photo{'' if len(enrolled) == 1 else 's'} enrolled"
        return done(f"/people/{known}", what)
    return show(
        request, user, "verdicts.html", "people", "Verdicts",
        status=200 if enrolled else 422, verdicts=judged, left_out=[], identity=known, who=name,
    )  # fmt: skip


@router.post("/people/import")
def import_list(request: Request, user: Operator, files: list[UploadFile], lookalike: Annotated[str, Form()] = "") -> Response:
    """Start to import the people of a zip, or of a CSV with its photos."""
    given = [(file.filename or "", file.file) for file in files if file.filename]
    job = imports_of(request).begin(user.name, given, lookalike == "on")
    return done(f"/people/import/{job.token}")


@router.get("/people/import/{token}")
def import_page(request: Request, user: Operator, token: str) -> HTMLResponse:
    """Show the progress of an import, with its verdicts so far."""
    job = imports_of(request).job(user.name, token)
    if wants_part(request):
        return part(request, "import_progress.html", job=job)
    return show(request, user, "import.html", "people", "Import", job=job)


@router.get("/people/{identity}")
def person_page(request: Request, user: Viewer, identity: int) -> HTMLResponse:
    """Show one person: photos, details, timeline and last sightings."""
    console = console_of(request)
    person = _person(console, identity)
    store = console.reader()
    rows = store.feed(FeedFilter(identities=(identity,), outcome="match", sources=user.cameras), SIGHTINGS + 1)
    return show(
        request, user, "person.html", "people", person.name,
        person=person,
        version=store.identity_version(identity),
        photos=store.enrolments(identity),
        refusals=store.refusals(identity),
        cards=cards(rows[:SIGHTINGS]),
        more=len(rows) > SIGHTINGS,
        timeline=day_lanes(store, identity, user.cameras),
        now=time.time(),
        expired=person.expires is not None and person.expires < time.strftime("%Y-%m-%d"),
    )  # fmt: skip


@router.get("/people/{identity}/photos/{photo}")
def photo_picture(request: Request, user: Viewer, identity: int, photo: int) -> Response:
    """The chip of an enrolled photo, as PNG."""
    fits = abs(identity) < 2**63 and abs(photo) < 2**63
    chip = console_of(request).reader().photo_chip(identity, photo) if fits else None
    if chip is None:
        raise not_found("no such photo")
    return Response(chip, media_type="image/png", headers={"cache-control": "private, max-age=300"})


@router.post("/people/{identity}")
def change(
    request: Request,
    user: Operator,
    identity: int,
    action: Annotated[str, Form()],
    name: Annotated[str, Form()] = "",
    external_id: Annotated[str, Form()] = "",
    purpose: Annotated[str, Form()] = "",
    authority: Annotated[str, Form()] = "",
    expires: Annotated[str, Form()] = "",
    version: Annotated[int, Form()] = 0,
    photo: Annotated[int, Form(ge=0, le=MAX_ID)] = 0,
) -> Response:
    """Apply one action to a person or a photo: save details, enable, disable, remove."""
    console = console_of(request)
    person = _person(console, identity)
    given = {"external_id": external_id, "purpose": purpose, "authority": authority, "expires": expires}
    details = {"name": _entered_name(name), **entered_details(given, True)} if action == "save" else {}
    left: list[str] | None = []
    with console.writer(user.name) as store:
        if origin := store.copied_from():
            raise Problem(409, "This list is a copy", f"its original {origin} would undo the change: change that list")
        if action == "save" and version != store.identity_version(identity):
            raise Problem(409, "Changed meanwhile", "somebody else has changed this person; load the page again and repeat yours")
        try:
            if action == "save":
                update_person(store, identity, **details)
                store.log_audit("update", identity=identity, changed=sorted(details))
            elif action in ("enable", "disable"):
                store.set_enabled(identity, action == "enable", photo or None)
                store.log_audit(action, identity=identity, **({"photo": photo} if photo else {}))
            elif action == "remove":
                left = remove_person(store, identity)
            elif action == "remove-photo":
                left = remove_photo(store, identity, photo)
            else:
                raise Problem(422, "Not allowed", f"action {action[:40]}: is unknown")
        except StoreError as error:
            raise Problem(409, "Not changed", str(error)) from None
    message = {
        "save": "Saved",
        "enable": "Enabled: looked for again",
        "disable": "Disabled: no longer looked for",
        "remove": f"{person.name} was removed; photos, embeddings and name are deleted",
        "remove-photo": "The photo was deleted",
    }[action]
    if left:
        message += f"; another program uses {', '.join(left)}, which may still hold deleted data: purge again when it has ended"
    return done("/people" if action == "remove" else f"/people/{identity}", message)


def entered_details(given: dict[str, str], empty: bool = False) -> dict[str, str]:
    """Check the details of a person in a form.

    Args:
        given: fields of the form.
        empty: return empty fields, too, to clear them.

    Returns:
        ``external_id``, ``purpose``, ``authority`` and ``expires``, as far as given.

    Raises:
        Problem: 422 if a field is invalid.
    """
    found = {}
    for key in DETAIL_FIELDS:
        value = given.get(key, "").strip().replace("\r\n", "\n")
        if UNSAFE_CHARACTERS.search(value.replace("\n", "") if key in ("purpose", "authority") else value):
            raise Problem(422, "Not allowed", f"{key.replace('_', ' ')}: holds a control character; remove it")
        if len(value) > 2000:
            raise Problem(422, "Not allowed", f"{key.replace('_', ' ')}: is longer than 2000 characters; shorten it")
        if key == "expires" and value and not is_date(value):
            raise Problem(422, "Not allowed", f"expires {value[:40]}: must be a date like 2030-12-31")
        if value or empty:
            found[key] = value
    return found


def _entered_name(name: str) -> str:
    try:
        found = normalised_name(name)
    except ValueError as error:
        raise Problem(422, "Not a name", f"the name {error}; enter one") from None
    if len(found) > 200:
        raise Problem(422, "Not a name", "the name is longer than 200 characters; shorten it")
    return found


def _person(console: Console, identity: int) -> Any:
    found = console.reader().identity(identity) if abs(identity) < 2**63 else None
    if found is None:
        raise not_found("nobody on the list has this ID; they may have been removed")
    return found
