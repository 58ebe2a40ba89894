"""Pages of runs: start one, see its progress and log, stop and resume it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response, UploadFile
from fastapi.responses import HTMLResponse

from console.auth import require_all_cameras
from console.context import console_of
from console.jobs import CONFIGS, runs_of
from console.pages.layout import Operator, Viewer, done, entered_number, part, show, wants_part
from console.problems import Problem
from console.report import read_run
from pipeline.errors import redact_url

router = APIRouter(include_in_schema=False)
SCOPE = "runs cover"


@router.get("/runs")
def runs(request: Request, user: Viewer) -> HTMLResponse:
    """Show the current run, the runs started from the console, and earlier runs from ``run.json``."""
    require_all_cameras(user, SCOPE)
    console, jobs = console_of(request), runs_of(request)
    context: dict[str, Any] = {"progress": jobs.progress(), "busy": jobs.busy(), "runs": [_card(run) for run in jobs.list()]}
    if wants_part(request):
        return part(request, "runs_now.html", **context)
    record, fault = read_run(console.out)
    earlier = [run for run in reversed(record.get("runs") or []) if isinstance(run, dict)][:30]
    return show(
        request, user, "runs.html", "runs", "Runs",
        earlier=earlier, fault=fault, fpir=console.reader().preference("fpir", 0.01), configs=CONFIGS, **context,
    )  # fmt: skip


@router.post("/runs")
def start(
    request: Request,
    user: Operator,
    source: Annotated[str, Form()] = "",
    upload: UploadFile | None = None,
    fpir: Annotated[str, Form()] = "0.01",
    config: Annotated[str, Form()] = "recording",
    begin: Annotated[str, Form()] = "",
    video: Annotated[str, Form()] = "",
) -> Response:
    """Start a run over a path on this server, or over an uploaded recording."""
    require_all_cameras(user, SCOPE)
    jobs = runs_of(request)
    rate = entered_number(fpir, "false-alarm rate", 1e-6, 0.5) or 0.01
    if upload is not None and upload.filename:
        source = str(jobs.upload(user.name, upload.filename, upload.file))
    if not source.strip():
        raise Problem(422, "No recording", "name a path on this server, or choose a file to upload")
    run = jobs.start(user.name, source.strip(), rate, config, begin.strip(), video == "on")
    return done(f"/runs/{run.token}", "The run has started")


@router.get("/runs/{token}")
def run_page(request: Request, user: Viewer, token: str) -> HTMLResponse:
    """Show one run with the end of its log."""
    require_all_cameras(user, SCOPE)
    jobs = runs_of(request)
    run = jobs.find(token)
    context: dict[str, Any] = {
        "run": _card(run),
        "log": jobs.log(run),
        "progress": jobs.progress() if run.state == "running" else {},
    }
    if wants_part(request):
        return part(request, "run_now.html", **context)
    return show(request, user, "run.html", "runs", f"Run {token}", **context)


@router.post("/runs/{token}")
def change(request: Request, user: Operator, token: str, action: Annotated[str, Form()]) -> Response:
    """Stop or resume a run."""
    require_all_cameras(user, SCOPE)
    jobs = runs_of(request)
    if action == "stop":
        jobs.stop(user.name, jobs.find(token).token)
        return done(f"/runs/{token}", "The run is stopping; its results so far are kept")
    if action == "resume":
        run = jobs.resume(user.name, token)
        return done(f"/runs/{run.token}", "The run was resumed: finished files are skipped")
    raise Problem(422, "Not allowed", f"action {action[:40]}: must be stop or resume")


def _card(run: Any) -> dict[str, Any]:
    source = next((word.partition("=")[2] for word in run.options if word.startswith("--source=")), "")
    fields: dict[str, Any] = dict(vars(run))
    return fields | {"source": redact_url(source), "short": Path(source).name if "://" not in source else redact_url(source)}
