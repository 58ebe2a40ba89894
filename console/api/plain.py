"""The former API, without a version: sightings by source and time, and the people on the list."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from console.auth import User, require
from console.context import console_of
from console.pages.report import track_name, track_page

router = APIRouter(tags=["plain"])
MAX_SQLITE_INT = 2**63 - 1
Limit = Annotated[int, Query(ge=1, le=1000, description="largest number of rows per page")]
Viewer = Annotated[User, Depends(require("viewer"))]


@router.get("/api/sightings")
def sightings(
    request: Request,
    user: Viewer,
    source: str | None = None,
    outcome: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: Limit = 100,
    after: str | None = None,
) -> Response:
    """Finished tracks, ordered by source and time.

    For the next page, pass SOURCE/TRACK of the last one as `after`; the header `Link` holds its address. `since` and `until` are
    as on the command line.
    """
    rows = track_page(console_of(request).reader(), user, source, outcome, limit, after, since, until)
    return _json(rows, _next(request, rows, limit, track_name))


@router.get("/api/identities")
def identities(
    request: Request,
    user: Viewer,
    limit: Limit = 1000,
    after: Annotated[int, Query(ge=0, le=MAX_SQLITE_INT, description="an id")] = 0,
) -> Response:
    """The people on the list, ordered by id. For the next page, pass the last id as `after`."""
    people = [vars(person) for person in console_of(request).reader().identities(limit, after)]
    return _json(people, _next(request, people, limit, lambda person: str(person["id"])))


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Health check: the server answers."""
    return {"status": "ok"}


def _next(request: Request, rows: list[dict[str, Any]], limit: int, name: Callable[[dict[str, Any]], str]) -> dict[str, str]:
    """The header ``Link`` with the address of the next page, if this page is full."""
    if len(rows) < limit:
        return {}
    query = dict(request.query_params) | {"limit": str(limit), "after": name(rows[-1])}
    return {"link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}


def _json(content: object, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(content), 200, headers or {}, "application/json")
