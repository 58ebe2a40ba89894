"""The report of the run, as ``report.html`` shows it, and its further pages of tracks."""

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
PAGE_MAX_AGE_S = 5.0  # a page that is older is made anew if the database has changed
Viewer = Annotated[User, Depends(require("viewer"))]


@router.get("/", response_class=HTMLResponse)
def entrance(request: Request, user: Viewer) -> Response:
    """The sightings for whoever is signed in; without accounts the report of the run."""
    return report(request, user) if user.is_anonymous else RedirectResponse("/sightings", 303)


@router.get("/report", response_class=HTMLResponse)
def report(request: Request, user: Viewer) -> HTMLResponse:
    """The report of the run."""
    require_all_cameras(user, "the report shows")
    cached: CachedReport = request.app.state.report
    return HTMLResponse(cached.html())


@router.get("/api", response_class=HTMLResponse)
def documentation(request: Request, user: Viewer) -> HTMLResponse:
    """The API, described."""
    return HTMLResponse(TEMPLATES.get_template("api.html").render(paths=request.app.openapi()["paths"]))


@router.get("/tracks", response_class=HTMLResponse)
def tracks(request: Request, user: Viewer, outcome: str, source: str | None = None, after: str | None = None) -> HTMLResponse:
    """Finished tracks of an outcome, a page of cards at a time."""
    console = console_of(request)
    rows = track_page(console.reader(), user, source, outcome, 60, after)
    following = None
    if len(rows) == 60:
        given = {"outcome": outcome, "source": source, "after": track_name(rows[-1])}
        following = "/tracks?" + urlencode({key: value for key, value in given.items() if value is not None})
    return HTMLResponse(render_page(rows, console.out, outcome.replace("_", " "), following))


class CachedReport:
    """The report, made once for all who ask at a time. While it is made anew the others read the one before."""

    def __init__(self, console: Console) -> None:
        self._store, self._out, self._lock = Store(console.database, must_exist=True), console.out, threading.Lock()
        self._html, self._again_at = b"", 0.0
        self._of: tuple[object, ...] = ()

    def warm(self) -> None:
        """Make it in the background, so that the first reader need not wait."""
        threading.Thread(target=self._quietly, daemon=True).start()

    def _quietly(self) -> None:
        with suppress(StoreError, sqlite3.Error, OSError):  # whoever asks for the page is told
            self.html()

    def html(self) -> bytes:
        if not self._lock.acquire(blocking=not self._html):
            return self._html
        try:
            began = time.monotonic()
            if not self._html or began > self._again_at:
                of = (self._store.data_version(), *_changed(self._out / "run.json"), *_changed(self._out / "annotated"))
                if of != self._of:
                    self._html, self._of = render_report(self._store, self._out, served=True).encode(), of
                    # A page that takes long to make is made more rarely.
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
    """A page of tracks; refuses what is not allowed with status 422, and says what is."""
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
        if last_seen is not None and not user.sees(last_seen[0]):  # whether there is such a track is not told
            raise LookupError
        return store.page(where, limit, last_seen)
    except LookupError:
        raise not_found(f"after {after}: no such track (any more); it is SOURCE/TRACK, the last of the page before") from None


def track_name(row: dict[str, Any]) -> str:
    """SOURCE/TRACK, by which a page goes on."""
    return f"{row['source']}/{row['track']}"
