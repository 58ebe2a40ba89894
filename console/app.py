"""The web page and HTTP API of `serve`: report, sightings and identities, read from the database page by page."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, HTMLResponse

from console.pictures import thumbnail, track_thumbnail
from console.report import TEMPLATES, render_page, render_report
from console.security import SecurityHeaders
from watchlist.output_folder import OutputFolder
from watchlist.row_checks import OUTCOMES
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store
from watchlist.time_arguments import parse_time_range, require_one_of
from watchlist.tracks import TrackFilter

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
PAGE_MAX_AGE_S = 5.0  # a page that is older is made anew if the database has changed
MAX_SQLITE_INT = 2**63 - 1  # whole number that SQLite knows
Limit = Annotated[int, Query(ge=1, le=1000, description="rows of a page")]
Result = TypeVar("Result")


def make_app(database: Path, hosts: Sequence[str] = LOOPBACK) -> FastAPI:
    """The application over one output folder's database. Nothing is written through it.

    ``hosts`` are the names it may be called by: a page of another name that was made to point here reads nothing.
    """
    out = database.parent
    stores = _ThreadStores(database)
    page = _Page(database, out)

    @asynccontextmanager
    async def prepared(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_quietly(page.html), daemon=True).start()  # so that the first reader need not wait
        yield

    app = FastAPI(title="Farsight", docs_url=None, redoc_url=None, lifespan=prepared)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(SecurityHeaders)

    @app.exception_handler(StoreError)
    def damaged(request: Request, error: StoreError) -> Response:
        return _json({"detail": str(error)}, status=500)

    @app.get("/", response_class=HTMLResponse)
    def report() -> HTMLResponse:
        """The report of the run."""
        return HTMLResponse(page.html())

    @app.get("/api", response_class=HTMLResponse, include_in_schema=False)
    def documentation() -> HTMLResponse:
        return HTMLResponse(TEMPLATES.get_template("api.html").render(paths=app.openapi()["paths"]))

    @app.get("/tracks", response_class=HTMLResponse)
    def tracks(outcome: str, source: str | None = None, after: str | None = None) -> HTMLResponse:
        """Finished tracks of an outcome, a page of cards at a time."""
        rows = _page(stores.current(), source, outcome, 60, after)
        following = None
        if len(rows) == 60:
            given = {"outcome": outcome, "source": source, "after": _name(rows[-1])}
            following = "/tracks?" + urlencode({key: value for key, value in given.items() if value is not None})
        return HTMLResponse(render_page(rows, out, outcome.replace("_", " "), following))

    @app.get("/api/sightings")
    def sightings(
        request: Request,
        source: str | None = None,
        outcome: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: Limit = 100,
        after: str | None = None,
    ) -> Response:
        """Finished tracks by source and time. The next page begins ``after`` the last one's SOURCE/TRACK; the header ``Link`` has
        its address. ``since`` and ``until`` are as on the command line."""
        rows = _page(stores.current(), source, outcome, limit, after, since, until)
        return _json(rows, _next(request, rows, limit, _name))

    @app.get("/api/identities")
    def identities(
        request: Request, limit: Limit = 1000, after: Annotated[int, Query(ge=0, le=MAX_SQLITE_INT, description="an id")] = 0
    ) -> Response:
        """The people on the list, by id. The next page begins ``after`` the last one's id."""
        people = [vars(person) for person in stores.current().identities(limit, after)]
        return _json(people, _next(request, people, limit, lambda person: str(person["id"])))

    @app.get("/picture")
    def picture(source: str, track: str, kind: str = "crop") -> Response:
        """A track's ``crop`` or ``restored`` chip, as JPEG."""
        _allowed(lambda: require_one_of("kind", kind, ("crop", "restored")))
        rows = stores.current().find_tracks([(source, track)])
        content = track_thumbnail(OutputFolder(out), rows[0], kind) if rows else None
        return _jpeg(content)

    @app.get("/enrolled/{identity}")
    def enrolled(identity: int) -> Response:
        """The first enrolled photo of a person, as JPEG."""
        photo = stores.current().first_photo(identity) if abs(identity) <= MAX_SQLITE_INT else None
        return _jpeg(None if photo is None else thumbnail(photo[1]))

    @app.get("/annotated/{name}")
    def video(name: str) -> FileResponse:
        """A video with boxes and names."""
        path = OutputFolder(out).safe_path(f"annotated/{name}") if name.endswith(".mp4") else None
        if path is None or not path.is_file():
            raise HTTPException(404, "no such video")
        return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, no-cache"})

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """Whether it answers."""
        return {"status": "ok"}

    return app


def _quietly(call: Callable[[], object]) -> Callable[[], None]:
    def attempt() -> None:
        with suppress(StoreError, sqlite3.Error, OSError):  # whoever asks for the page is told
            call()

    return attempt


class _ThreadStores:
    """One connection for each thread that answers."""

    def __init__(self, database: Path) -> None:
        self._database, self._own = database, threading.local()
        self.current()

    def current(self) -> Store:
        found: Store | None = getattr(self._own, "store", None)
        if found is None:
            found = self._own.store = Store(self._database, must_exist=True)
        return found


class _Page:
    """The report, made once for all who ask at a time. While it is made anew the others read the one before."""

    def __init__(self, database: Path, out: Path) -> None:
        self._store, self._out, self._lock = Store(database, must_exist=True), out, threading.Lock()
        self._html, self._again_at = b"", 0.0
        self._of: tuple[object, ...] = ()

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


def _page(
    store: Store,
    source: str | None,
    outcome: str | None,
    limit: int,
    after: str | None,
    since: str | None = None,
    until: str | None = None,
) -> list[dict[str, Any]]:
    """A page of tracks; refuses what is not allowed with status 422, and says what is."""
    if source is not None:
        _allowed(lambda: require_one_of("source", source, store.sources()))
    if outcome is not None:
        _allowed(lambda: require_one_of("outcome", outcome, OUTCOMES))
    first, last = _allowed(lambda: parse_time_range(since, until, prefix=""))
    where = TrackFilter(source, first.pts_s, first.at, last.at, None, last.pts_s, outcome)
    last_seen = None
    if after is not None:
        camera, _, track = after.rpartition("/")
        last_seen = (camera, track)
    try:
        return store.page(where, limit, last_seen)
    except LookupError:
        raise HTTPException(
            404, f"after {after}: no such track (any more); it is SOURCE/TRACK, the last of the page before"
        ) from None


def _allowed(check: Callable[[], Result]) -> Result:
    try:
        return check()
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _name(row: dict[str, Any]) -> str:
    return f"{row['source']}/{row['track']}"


def _next(request: Request, rows: list[dict[str, Any]], limit: int, name: Callable[[dict[str, Any]], str]) -> dict[str, str]:
    """The header that tells the address of the next page, if there may be one."""
    if len(rows) < limit:
        return {}
    query = dict(request.query_params) | {"limit": str(limit), "after": name(rows[-1])}
    return {"link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}


def _json(content: object, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    return Response(json.dumps(content), status, headers or {}, "application/json")


def _jpeg(content: bytes | None) -> Response:
    if content is None:
        raise HTTPException(404, "no such picture")
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=300"})
