"""The application of `serve`: pages and HTTP API over one output folder's database. One router file a page or area."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.staticfiles import StaticFiles

from console import api, pages, problems
from console.api.events import Watcher
from console.body_limit import BodyLimit
from console.context import Console, Options
from console.pages.report import CachedReport
from console.security import SecurityHeaders

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
STATIC = Path(__file__).parent / "static"


def make_app(
    database: Path, hosts: Sequence[str] = LOOPBACK, options: Options | None = None, command: Sequence[str] = ()
) -> FastAPI:
    """The application over one output folder's database.

    Args:
        database: the file.
        hosts: names it may be called by: a page of another name that was made to point here reads nothing.
        options: how the server was started; None: on loopback, where it can be read without an account while there is none.
        command: the program and its first arguments, to start jobs with; empty: no job can be started.
    """
    console = Console(database, options or Options(), tuple(command))
    console.reader()  # so that a damaged database is told at once
    report = CachedReport(console)

    @asynccontextmanager
    async def prepared(app: FastAPI) -> AsyncIterator[None]:
        report.warm()
        yield
        app.state.closing = True  # so that listeners leave

    app = FastAPI(title="Farsight", openapi_url=None, docs_url=None, redoc_url=None, lifespan=prepared)
    app.state.console, app.state.report, app.state.watcher = console, report, Watcher(console)
    app.add_middleware(BodyLimit)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    app.add_middleware(SecurityHeaders, secure=console.options.secure)
    problems.install(app)
    app.mount("/static", StaticFiles(directory=STATIC), "static")
    for router in (*api.ROUTERS, *pages.ROUTERS):
        app.include_router(router)
    return app
