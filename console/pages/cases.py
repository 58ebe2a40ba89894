"""Pages of cases, which collect tracks of several people and sources with notes: edit, print, export as a zip."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse
from starlette.background import BackgroundTask

from console.auth import User
from console.context import Console, console_of
from console.pages.layout import MAX_ID, Operator, Viewer, card, done, entered_id, show, source_and_track
from console.problems import Problem, not_found
from watchlist.cases import Case
from watchlist.database import StoreError
from watchlist.evidence import export_case

router = APIRouter(include_in_schema=False)
MAX_SHOWN = 500  # tracks of a case on its page


@router.get("/cases")
def cases(request: Request, user: Viewer, before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None) -> HTMLResponse:
    """Show the cases, newest first."""
    found = console_of(request).reader().cases(100, before, user.cameras)
    return show(request, user, "cases.html", "cases", "Cases", cases=found, more=found[-1].id if len(found) == 100 else None)


@router.post("/cases")
def open_case(request: Request, user: Operator, name: Annotated[str, Form()], note: Annotated[str, Form()] = "") -> Response:
    """Open a case."""
    number = _changed(request, user, lambda store: store.add_case(name, note))
    return done(f"/cases/{number}", "The case is open. Add tracks from the sightings, from a track's page or from a search.")


@router.post("/cases/add")
def add(
    request: Request,
    user: Operator,
    track: Annotated[list[str] | None, Form()] = None,
    case: Annotated[str, Form()] = "",
    back: Annotated[str, Form()] = "",
) -> Response:
    """Add tracks (SOURCE/TRACK) to a case, or to a new one if ``case`` is empty."""
    names = [source_and_track(text) for text in track or []]
    if not names:
        raise Problem(422, "No track is chosen", "tick the tracks that belong to the case, then add them")
    if any(not user.sees(source) for source, _ in names):
        raise not_found("no such track")

    def change(store: Any) -> tuple[int, int]:
        with store.transaction():
            number = entered_id(case, "case") if case else store.add_case("New case")
            return number, store.add_to_case(number, names)

    number, new = _changed(request, user, change)
    what = f"{new} track{'' if new == 1 else 's'} added to case {number}"
    return done(back if back.startswith("/track?") and case else f"/cases/{number}", what)


@router.get("/cases/{number}")
def case_page(request: Request, user: Viewer, number: int) -> HTMLResponse:
    """Show one case."""
    console = console_of(request)
    case = _case(console, user, number)
    members, hidden = _members(console, user, number)
    people = {row["identity"]: row["name"] for row in members if row["identity"] is not None}
    return show(
        request,
        user,
        "case.html",
        "cases",
        case.name,
        case=case,
        members=members[:MAX_SHOWN],
        more=max(0, len(members) - MAX_SHOWN),
        hidden=hidden,
        people=people,
        sources=sorted({row["source"] for row in members}),
    )


@router.get("/cases/{number}/print")
def printable(request: Request, user: Viewer, number: int) -> HTMLResponse:
    """Show the case on one page, to print or save as PDF."""
    console = console_of(request)
    case = _case(console, user, number)
    members, hidden = _members(console, user, number)
    for row in members:
        row["reviews"] = console.reader().reviews(row["source"], row["track"])
    return show(request, user, "case_print.html", "cases", case.name, case=case, members=members, hidden=hidden)


@router.get("/cases/{number}/zip")
def archive(request: Request, user: Operator, number: int) -> Response:
    """Download the case as an evidence bundle (zip), with the tracks that the user may see."""
    console = console_of(request)
    case = _case(console, user, number)
    if user.is_anonymous:
        raise Problem(403, "An account is needed", "an export is written to the audit log with a name")
    names = [(member.source, member.track) for member in console.reader().case_tracks(number) if user.sees(member.source)]
    rows = console.reader().find_tracks(names)
    if not rows:
        raise Problem(422, "Nothing to export", "the case holds no finished track; add some first")
    notes = {f"{m.source}/{m.track}": m.note for m in console.reader().case_tracks(number) if m.note and user.sees(m.source)}
    folder = tempfile.TemporaryDirectory(prefix="farsight-case-")
    path = Path(folder.name) / f"case-{number}.zip"
    with console.writer(user.name) as store:
        export_case(store, console.out, rows, path, about={"id": case.id, "name": case.name, "note": case.note, "notes": notes})
    name = f"case-{number}.zip"
    return FileResponse(
        path,
        media_type="application/zip",
        headers={"content-disposition": f"attachment; filename*=UTF-8''{quote(name)}"},
        background=BackgroundTask(folder.cleanup),
    )


@router.post("/cases/{number}")
def change(
    request: Request,
    user: Operator,
    number: int,
    action: Annotated[str, Form()],
    name: Annotated[str, Form()] = "",
    note: Annotated[str, Form()] = "",
    track: Annotated[str, Form()] = "",
) -> Response:
    """Apply one action to a case: save, close, open again, remove a track, change a track's note, or delete."""
    source, member = source_and_track(track)
    if track and not user.sees(source):
        raise not_found("no such track")
    changes: dict[str, tuple[Any, str]] = {
        "save": (lambda store: store.change_case(number, name=name, note=note), "Saved"),
        "close": (lambda store: store.change_case(number, closed=True), "The case is closed"),
        "open": (lambda store: store.change_case(number, closed=False), "The case is open again"),
        "remove": (
            lambda store: store.remove_from_case(number, source, member),
            "The track was removed from the case; it is not deleted",
        ),
        "track-note": (lambda store: store.set_track_note(number, source, member, note), "Note saved"),
        "delete": (lambda store: store.remove_case(number), "The case was deleted; its tracks are still there"),
    }
    if action not in changes:
        raise Problem(422, "Not allowed", f"action {action[:40]}: must be one of {', '.join(changes)}")
    _case(console_of(request), user, number)
    if action == "delete":
        check_deletion(console_of(request), user, number)
    what, message = changes[action]
    _changed(request, user, what)
    return done("/cases" if action == "delete" else f"/cases/{number}", message)


def _changed(request: Request, user: User, change: Any) -> Any:
    """Apply a change to the database and return its result. A StoreError becomes Problem 422."""
    with console_of(request).writer(user.name) as store:
        try:
            return change(store)
        except StoreError as error:
            raise Problem(422, "Not changed", str(error)) from None


def check_deletion(console: Console, user: User, number: int) -> None:
    """Raise Problem 403 if a case holds tracks that the user may not see."""
    if not all(user.sees(member.source) for member in console.reader().case_tracks(number)):
        raise Problem(403, "Not allowed", "it holds tracks of cameras that you may not see; ask somebody who may see them")


def _case(console: Console, user: User, number: int) -> Case:
    found = console.reader().case(number, user.cameras) if 0 < number < 2**63 else None
    if found is None:
        raise not_found(f"case {number}: there is none")
    return found


def _members(console: Console, user: User, number: int) -> tuple[list[dict[str, Any]], int]:
    """The tracks of a case that the user may see, as cards with notes, and the number of those that are no longer stored."""
    store = console.reader()
    members = [member for member in store.case_tracks(number) if user.sees(member.source)]
    listed = []
    for member in members:
        row = store.feed_row(member.source, member.track)
        if row is not None:
            listed.append(card(row) | {"note": member.note, "added_by": member.user, "added_at": member.at})
    return listed, len(members) - len(listed)
