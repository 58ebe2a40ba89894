"""Shared parts of the pages: navigation, users by role, form fields, addresses, and cards of sightings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from console.auth import User, require
from console.context import Console, console_of
from console.problems import Problem, not_found
from console.render import PAGES, page
from console.timeline import duration_text
from watchlist.store import Store

Viewer = Annotated[User, Depends(require("viewer"))]
Reviewer = Annotated[User, Depends(require("reviewer"))]
Operator = Annotated[User, Depends(require("operator"))]
Admin = Annotated[User, Depends(require("admin"))]

LANGUAGES = ("", *"en-GB en-US de-DE fr-FR es-ES it-IT nl-NL pl-PL pt-BR tr-TR uk-UA ar-EG he-IL ja-JP zh-CN".split())


@dataclass(frozen=True)
class Entry:
    """An entry of the navigation.

    Attributes:
        name: of the page and of its icon.
        label: text of the link.
        href: address of the page.
        role: role that sees the entry.
        short: label on a phone.
        count: number next to the label; 0: none.
    """

    name: str
    label: str
    href: str
    role: str = "viewer"
    short: str = ""
    count: int = 0


NAVIGATION = (
    Entry("sightings", "Sightings", "/sightings", short="Sightings"),
    Entry("review", "Review", "/review", short="Review"),
    Entry("people", "People", "/people", short="People"),
    Entry("search", "Search by photo", "/search", short="Search"),
    Entry("unknowns", "Unknowns", "/unknowns"),
    Entry("cameras", "Cameras", "/cameras"),
    Entry("runs", "Runs", "/runs"),
    Entry("cases", "Cases", "/cases"),
    Entry("report", "Report", "/report"),
    Entry("settings", "Settings", "/settings"),
    Entry("users", "Users", "/users", role="admin"),
)
MAX_ID = 2**63 - 1  # largest integer of SQLite
ALL_CAMERAS_ONLY = ("runs", "report")  # pages for users who may see all cameras
MAIN_TABS = tuple(entry.name for entry in NAVIGATION[:4])


def show(
    request: Request, user: User, template: str, name: str, title: str, status: int = 200, notice: str = "", **context: Any
) -> HTMLResponse:
    """Render a page of the console, with its navigation.

    Args:
        request: the request.
        user: of the request.
        template: file in ``templates/console/``.
        name: of the page's entry in `NAVIGATION`.
        title: of the browser's tab.
        status: HTTP status.
        notice: line at the top; empty: the query parameter ``done``, see `done`.
        **context: further variables of the template.
    """
    reader = console_of(request).reader()
    return page(
        request,
        template,
        status,
        page=name,
        title=title,
        notice=notice or request.query_params.get("done", "")[:300],
        notice_kind="good" if not notice else "",
        navigation=[e for e in NAVIGATION if user.may(e.role) and (user.cameras is None or e.name not in ALL_CAMERAS_ONLY)],
        main_tabs=MAIN_TABS,
        language=reader.preference("language", ""),
        zone=reader.preference("time_zone", ""),
        **context,
    )


def part(
    request: Request, template: str, status: int = 200, toast: str = "", headers: dict[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """Render a part of a page, for htmx.

    Args:
        request: the request.
        template: file in ``templates/console/``.
        status: HTTP status.
        toast: line that the page shows for a few seconds.
        headers: further headers of the answer.
        **context: variables of the template.
    """
    answer = page(request, template, status, **context)
    answer.headers.update(headers or {})
    if toast:
        answer.headers["x-toast"] = quote(toast)
    return answer


def done(address: str, what: str = "") -> RedirectResponse:
    """Redirect after a form to the page that shows the result, with a line that says what was done."""
    joint = "&" if "?" in address else "?"
    return RedirectResponse(f"{address}{joint}{urlencode({'done': what})}" if what else address, 303)


def wants_part(request: Request) -> bool:
    """Whether htmx requests only a part of the page."""
    return request.headers.get("hx-request") == "true"


def zone_of(store: Store) -> tzinfo:
    """The time zone of shown and entered times: that of the settings, else the server's."""
    name = store.preference("time_zone", "")
    if name:
        with suppress(ValueError, OSError, KeyError):  # unknown on this machine
            return ZoneInfo(name)
    return datetime.now().astimezone().tzinfo or UTC


def entered_time(text: str, zone: tzinfo, what: str) -> float | None:
    """Parse a field for date and time.

    Args:
        text: such as ``2026-11-01T18:30``.
        zone: used if the text names no zone.
        what: name of the field, for the message.

    Returns:
        Unix time; None if the field is empty.

    Raises:
        Problem: 422 if it is not a time.
    """
    if not text.strip():
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    except (ValueError, OverflowError, OSError):
        raise Problem(422, "Not a time", f"{what} {text[:40]}: must be like 2026-11-01T18:30") from None


def entered_number(text: str, what: str, least: float = 0.0, most: float = 1e9) -> float | None:
    """Parse a field for a number.

    Args:
        text: content of the field.
        what: name of the field, for the message.
        least: smallest allowed value.
        most: largest allowed value.

    Returns:
        The number; None if the field is empty.

    Raises:
        Problem: 422 if it is not a number from ``least`` to ``most``.
    """
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise Problem(422, "Not a number", f"{what} {text[:40]}: must be from {least:g} to {most:g}")
    return value


def entered_id(text: str, what: str) -> int:
    """Parse a field for an ID, an integer from 1. Raises Problem 422 with the field's name ``what``."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise Problem(422, "Not allowed", f"{what} {text[:40]}: must be a whole number from 1")
    return int(text)


def track_href(source: str, track: str) -> str:
    """Address of a track's page."""
    return "/track?" + urlencode({"source": source, "track": track})


def picture_href(source: str, track: str, kind: str) -> str:
    """Address of a track's thumbnail; ``kind`` is ``crop`` or ``restored``."""
    return "/picture?" + urlencode({"source": source, "track": track, "kind": kind})


def shot_href(source: str, track: str, number: int) -> str:
    """Address of the original crop of a track's shot; ``number`` counts from 1, best first."""
    return "/shot?" + urlencode({"source": source, "track": track, "number": number})


def card(row: dict[str, Any]) -> dict[str, Any]:
    """Add to a row of `Feed.feed` what the templates need: key, addresses, time of day or position, whether still in view."""
    source, track = row["source"], row["track"]
    live = row["started_at"] is not None
    return row | {
        "key": f"{source}/{track}",
        "href": track_href(source, track),
        "crop": picture_href(source, track, "crop") if row["crop"] else None,
        "restored": picture_href(source, track, "restored") if row["restored"] else None,
        "enrolled": f"/enrolled/{row['identity']}" if row["identity"] is not None else None,
        "at": row["started_at"] if live else None,
        "clock": duration_text(row["start_s"]),
        "place": row.get("at"),
        "in_view": not row["final"],
    }


def cards(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Apply `card` to each row."""
    return [card(row) for row in rows]


def visible_row(console: Console, user: User, source: str, track: str) -> dict[str, Any]:
    """Row of a track in the feed. Raises Problem 404 if there is no such track or the user may not see its source."""
    row = console.reader().feed_row(source, track) if user.sees(source) else None
    if row is None:
        raise not_found("no such track; it may have been purged")
    return row


def visible_sources(console: Console, user: User) -> list[str]:
    """Names of the sources with tracks that the user may see."""
    return [name for name in console.reader().sources() if user.sees(name)]


def source_and_track(text: str) -> tuple[str, str]:
    """Split SOURCE/TRACK. A source may contain slashes."""
    source, _, track = text.rpartition("/")
    return source, track


def _iso(at: Any) -> str:
    try:
        return datetime.fromtimestamp(float(at), UTC).isoformat(timespec="seconds")
    except (ValueError, TypeError, OverflowError, OSError):
        return ""


REASONS = {
    "no_face": "no face was found",
    "several_faces": "several faces: choose one",
    "no_such_face": "there is no such face",
    "not_upright": "it is not clear which way up the photo is",
    "too_small": "the face is too small",
    "blurred": "the face is blurred",
    "extreme_pose": "the face is turned too far away",
    "low_quality": "too little of the face is visible",
    "unlike_other_photos": "does not look like this person's other photos",
    "looks_like": "looks like somebody else on the list",
    "ambiguous_name": "several people have this name: give the external ID",
    "unreadable": "cannot be read as a photo",
}


def reason(text: str) -> str:
    """Describe a reason of the enrolment gate, such as ``too_small: 12 px``, in words."""
    code, _, details = text.partition(":")
    return REASONS.get(code, code) + (f" ({details.strip()})" if details.strip() else "")


PAGES.filters |= {"iso": _iso, "reason": reason, "pair": lambda value: (value, value)}
