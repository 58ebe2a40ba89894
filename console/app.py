"""The web application of `farsight serve`: pages and HTTP API of one output folder, each in a router file of its own."""

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
    """Create the application for one output folder.

    Args:
        database: ``farsight.db`` of the output folder; it must exist.
        hosts: accepted ``Host`` headers, against DNS rebinding.
        options: how the server was started; None: `Options` with its defaults, for loopback.
        command: program and first arguments that start a run; empty: runs cannot be started.

    Raises:
        StoreError: the database is missing, damaged, or of a newer version.
    """
    console = Console(database, options or Options(), tuple(command))
    console.reader()  # a damaged database is reported at once
    report = CachedReport(console)

    @asynccontextmanager
    async def prepared(app: FastAPI) -> AsyncIterator[None]:
        report.warm()
        yield
        app.state.closing = True  # ends the event streams

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
