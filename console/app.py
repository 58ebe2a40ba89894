"""The page and the API of `serve`: the report of a run, fresh from its database, and its sightings as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import FileResponse, HTMLResponse

from console.report import render_report
from watchlist.store import Store

HIDDEN = {"template", "path"}


def make_app(database: Path) -> FastAPI:
    """The application over one output folder's database. Nothing is written through it."""
    out = database.parent
    store = Store(database, must_exist=True)
    app = FastAPI(title="Farsight", docs_url="/api", redoc_url=None)

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
