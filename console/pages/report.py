"""The report of the run as a page, further pages of tracks, and the documentation of the API."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from console.auth import User, require, require_all_cameras
from console.context import Console, console_of
from console.problems import allowed, not_found
from console.report import TEMPLATES, render_page, render_report
from watchlist.row_checks import OUTCOMES
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store
from watchlist.time_arguments import parse_time_range, require_one_of
from watchlist.tracks import TrackFilter

router = APIRouter(include_in_schema=False)
PAGE_MAX_AGE_S = 5.0  # an older report is rendered again if the database has changed
Viewer = Annotated[User, Depends(require("viewer"))]


@router.get("/", response_class=HTMLResponse)
def home(request: Request, user: Viewer) -> Response:
    """Redirect signed-in users to the sightings; show the report in a console without accounts."""
    return report(request, user) if user.is_anonymous else RedirectResponse("/sightings", 303)


@router.get("/report", response_class=HTMLResponse)
def report(request: Request, user: Viewer) -> HTMLResponse:
    """Show the report of the run."""
    require_all_cameras(user, "the report covers")
    cached: CachedReport = request.app.state.report
    return HTMLResponse(cached.html())


@router.get("/api", response_class=HTMLResponse)
def documentation(request: Request, user: Viewer) -> HTMLResponse:
    """Show the documentation of the API."""
    return HTMLResponse(TEMPLATES.get_template("api.html").render(paths=request.app.openapi()["paths"]))


@router.get("/tracks", response_class=HTMLResponse)
def tracks(request: Request, user: Viewer, outcome: str, source: str | None = None, after: str | None = None) -> HTMLResponse:
    """Show finished tracks of one outcome, 60 per page. ``after`` is SOURCE/TRACK of the last one of the page before."""
    console = console_of(request)
    rows = track_page(console.reader(), user, source, outcome, 60, after)
    following = None
    if len(rows) == 60:
        given = {"outcome": outcome, "source": source, "after": track_name(rows[-1])}
        following = "/tracks?" + urlencode({key: value for key, value in given.items() if value is not None})
    return HTMLResponse(render_page(rows, console.out, outcome.replace("_", " "), following))


class CachedReport:
    """Renders the report and caches it. While one request renders it, the others get the previous one.

    Args:
        console: the console.
    """

    def __init__(self, console: Console) -> None:
        self._store, self._out, self._lock = Store(console.database, must_exist=True), console.out, threading.Lock()
        self._html, self._again_at = b"", 0.0
        self._of: tuple[object, ...] = ()

    def warm(self) -> None:
        """Render the report in a thread, so that the first reader need not wait."""
        threading.Thread(target=self._quietly, daemon=True).start()

    def _quietly(self) -> None:
        with suppress(StoreError, sqlite3.Error, OSError):  # a request for the page reports it
            self.html()

    def html(self) -> bytes:
        """The report as UTF-8, rendered again if the database, ``run.json`` or the annotated videos have changed."""
        if not self._lock.acquire(blocking=not self._html):
            return self._html
        try:
            began = time.monotonic()
            if not self._html or began > self._again_at:
                of = (self._store.data_version(), *_changed(self._out / "run.json"), *_changed(self._out / "annotated"))
                if of != self._of:
                    self._html, self._of = render_report(self._store, self._out, served=True).encode(), of
                    # A report that takes long to render is rendered less often.
                    self._again_at = time.monotonic() + min(PAGE_MAX_AGE_S, 3 * (time.monotonic() - began))
            return self._html
        finally:
            self._lock.release()


def _changed(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError:
        return (None,)
    return found.st_mtime_ns, found.st_size


def track_page(
    store: Store,
    user: User,
    source: str | None,
    outcome: str | None,
    limit: int,
    after: str | None,
    since: str | None = None,
    until: str | None = None,
) -> list[dict[str, Any]]:
    """Read one page of finished tracks, ordered by source and time.

    Args:
        store: the run's database.
        user: restricts the sources.
        source: only this source; None: all.
        outcome: one of `OUTCOMES`; None: all.
        limit: largest number of tracks.
        after: SOURCE/TRACK of the last track of the page before; None: the first page.
        since: time as on the command line; None: no limit.
        until: as ``since``.

    Raises:
        Problem: 404 if there is no track ``after``, 422 if another argument is invalid.
    """
    if source is not None:
        allowed(lambda: require_one_of("source", source, [name for name in store.sources() if user.sees(name)]))
    if outcome is not None:
        allowed(lambda: require_one_of("outcome", outcome, OUTCOMES))
    first, last = allowed(lambda: parse_time_range(since, until, prefix=""))
    where = TrackFilter(source, first.pts_s, first.at, last.at, None, last.pts_s, outcome, sources=user.cameras)
    last_seen = None
    if after is not None:
        camera, _, track = after.rpartition("/")
        last_seen = (camera, track)
    try:
        if last_seen is not None and not user.sees(last_seen[0]):  # do not reveal whether the track exists
            raise LookupError
        return store.page(where, limit, last_seen)
    except LookupError:
        raise not_found(f"after {after}: no such track; give SOURCE/TRACK of the last track of the page before") from None


def track_name(row: dict[str, Any]) -> str:
    """SOURCE/TRACK of a row, as `track_page` takes it."""
    return f"{row['source']}/{row['track']}"
