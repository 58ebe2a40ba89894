"""The page and the API of `serve`: the report of a run, fresh from its database, and its sightings as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import FileResponse, HTMLResponse

from console.report import render_report
from watchlist.store import Store

HIDDEN = {"template", "path"}
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def make_app(database: Path, hosts: Sequence[str] = LOOPBACK) -> FastAPI:
    """The application over one output folder's database. Nothing is written through it.

    ``hosts`` are the names it may be called by: a page of another name that was made to point here reads nothing.
    """
    out = database.parent
    store = Store(database, must_exist=True)
    app = FastAPI(title="Farsight", docs_url="/api", redoc_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))

    @app.get("/", response_class=HTMLResponse)
    def report() -> str:
        return render_report(store, out)

    @app.get("/api/sightings")
    def sightings(source: str | None = None, outcome: str | None = None) -> list[dict[str, Any]]:
        rows = [row for row in store.tracks(source) if outcome in (None, row["outcome"])]
        return [{k: v for k, v in row.items() if k not in HIDDEN} for row in rows]

    @app.get("/api/identities")
    def identities() -> list[dict[str, Any]]:
        return [vars(identity) for identity in store.identities()]

    @app.get("/annotated/{name}")
    def video(name: str) -> FileResponse:
        path = out / "annotated" / name
        if path.parent != out / "annotated" or path.suffix != ".mp4" or not path.is_file():
            raise HTTPException(404, "no such video")
        return FileResponse(path)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app
