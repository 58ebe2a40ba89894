"""Page of the sightings: a feed, newest first, that is updated live."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from console.context import console_of
from console.pages.layout import (
    MAX_ID,
    Viewer,
    cards,
    entered_number,
    entered_time,
    part,
    show,
    source_and_track,
    visible_sources,
    wants_part,
    zone_of,
)
from console.problems import Problem
from watchlist.feed import FeedFilter
from watchlist.reviews import VERDICTS
from watchlist.row_checks import OUTCOMES
from watchlist.store import Store

router = APIRouter(include_in_schema=False)
PAGE = 48  # sightings per page
MAX_NAMED = 50  # tracks requested by name at once
MAX_SAME_NAME = 50  # people that the filter finds by a part of a name


@dataclass(frozen=True)
class FilterFields:
    """The fields of the filter bar, as text; see `FeedFilter`. ``person`` is ``#ID``, an ID, or part of a name or external id."""

    outcome: str = ""
    source: str = ""
    person: str = ""
    since: str = ""
    until: str = ""
    least_px: str = ""
    most_px: str = ""
    review: str = ""

    def query(self, **changes: str) -> str:
        """The fields as the query of an address, with ``changes`` and without empty ones."""
        return urlencode({key: value for key, value in (vars(self) | changes).items() if value})

    def any(self) -> bool:
        """Whether a field other than ``outcome`` is set."""
        return any(vars(replace(self, outcome="")).values())

    def feed_filter(self, store: Store) -> FeedFilter:
        """Convert to a filter of the database. Raises Problem 422 for an invalid field."""
        for key, allowed in (("outcome", OUTCOMES), ("review", (*VERDICTS, "second"))):
            if (given := getattr(self, key)) and given not in allowed:
                raise Problem(422, "Not allowed", f"{key} {given[:40]}: must be one of {', '.join(allowed)}")
        zone = zone_of(store)
        return FeedFilter(
            outcome=self.outcome or None,
            source=self.source or None,
            identities=None if not self.person.strip() else tuple(_people(store, self.person.strip())),
            since_at=entered_time(self.since, zone, "from"),
            until_at=entered_time(self.until, zone, "until"),
            least_px=entered_number(self.least_px, "least width"),
            most_px=entered_number(self.most_px, "greatest width"),
            review=self.review or None,
        )


def filter_fields(
    outcome: str = "",
    source: str = "",
    person: str = "",
    since: str = "",
    until: str = "",
    least_px: str = "",
    most_px: str = "",
    review: str = "",
) -> FilterFields:
    """Dependency: the filter bar's fields in the query of a request."""
    return FilterFields(outcome, source, person, since, until, least_px, most_px, review)


Filters = Annotated[FilterFields, Depends(filter_fields)]


@router.get("/sightings")
def sightings(request: Request, user: Viewer, fields: Filters, after: str = "") -> HTMLResponse:
    """Show the feed, or with htmx its next page."""
    console = console_of(request)
    store = console.reader()
    where = replace(fields.feed_filter(store), sources=user.cameras)
    rows = store.feed(where, PAGE, _place(after))
    context: dict[str, Any] = {"cards": cards(rows), "following": _following(fields, rows), "fields": fields}
    if wants_part(request):
        return part(request, "feed_page.html", **context)
    return show(
        request,
        user,
        "sightings.html",
        "sightings",
        "Sightings",
        sources=visible_sources(console, user),
        cases=[case for case in store.cases(50) if case.closed is None],
        any_track=bool(rows) or store.any_track(),
        **context,
    )


@router.get("/sightings/named")
def named(
    request: Request, user: Viewer, fields: Filters, track: Annotated[list[str], Query(max_length=MAX_NAMED)]
) -> HTMLResponse:
    """Cards of the named tracks (SOURCE/TRACK) that pass the filter, which the page requests after an event of the feed."""
    store = console_of(request).reader()
    where = replace(fields.feed_filter(store), sources=user.cameras)
    rows = store.feed_named([source_and_track(text) for text in track], where)
    return part(request, "feed_page.html", cards=[card | {"fresh": True} for card in cards(rows)], following=None, fields=fields)


def _people(store: Store, text: str) -> list[int]:
    """Ids of the people that a text names: ``#ID``, an ID, or part of a name or external id."""
    if text.removeprefix("#").isdecimal() and len(text) < 16:
        return [int(text.removeprefix("#"))]
    return [person.id for person in store.find_people(text, limit=MAX_SAME_NAME)]


def _place(after: str) -> tuple[float, int] | None:
    """Parse TIME,NUMBER of the last row of the page before. Raises Problem 422."""
    if not after:
        return None
    at, _, number = after.partition(",")
    try:
        place = float(at), int(number)
        if not math.isfinite(place[0]) or abs(place[1]) > MAX_ID:
            raise ValueError
        return place
    except ValueError:
        raise Problem(422, "Not allowed", "after: must be TIME,NUMBER, as in the address of the next page") from None


def _following(fields: FilterFields, rows: list[dict[str, Any]]) -> str | None:
    """Address of the next page; None after the last one."""
    if len(rows) < PAGE:
        return None
    at, number = rows[-1]["at"], rows[-1]["number"]
    return f"/sightings?{fields.query(after=f'{at!r},{number}')}"
