"""API: start, watch, stop and resume runs, and upload recordings."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, UploadFile
from pydantic import BaseModel, Field

from console.api.common import Operator, Viewer
from console.auth import require_all_cameras
from console.jobs import Run as Job
from console.jobs import runs_of
from pipeline.errors import redact_url

router = APIRouter(prefix="/api/v1", tags=["runs"])
SCOPE = "runs cover"


class Run(BaseModel):
    token: str
    source: str = Field(description="file, folder or URL, without credentials")
    user: str
    state: str = Field(description="running, finished, incomplete, failed, stopped, or unknown (the server was restarted)")
    code: int | None = Field(description="exit code")
    started: float
    ended: float | None
    resumes: str = Field(description="token of the run that this one resumes; empty: none")


class RunDetail(Run):
    log: str = Field(description="the end of the log")
    progress: float | None = Field(description="0 to 1; null if unknown")


class NewRun(BaseModel):
    source: str = Field(min_length=1, max_length=4000, description="file, folder or URL that this server can read")
    fpir: float = Field(0.01, ge=1e-6, le=0.5)
    config: str = Field("recording", description="recording, gpu or demo")
    start: str = Field("", max_length=200, description="time at which the recording began, such as 2026-11-30T17:00:00")
    video: bool = Field(True, description="draw the annotated video")


class Recording(BaseModel):
    source: str = Field(description="path on the server, for `source` of a new run")


def _fields(job: Job) -> dict[str, Any]:
    source = next((word.partition("=")[2] for word in job.options if word.startswith("--source=")), "")
    keys = ("token", "user", "state", "code", "started", "ended", "resumes")
    return {key: getattr(job, key) for key in keys} | {"source": redact_url(source)}


@router.get("/runs")
def runs(request: Request, user: Viewer) -> list[Run]:
    """The runs that were started from the console, newest first."""
    require_all_cameras(user, SCOPE)
    return [Run(**_fields(job)) for job in runs_of(request).list()]


@router.get("/runs/{token}")
def run(request: Request, user: Viewer, token: str) -> RunDetail:
    """One run, with the end of its log."""
    require_all_cameras(user, SCOPE)
    jobs = runs_of(request)
    job = jobs.find(token)
    return RunDetail(**_fields(job), log=jobs.log(job), progress=jobs.progress()["share"] if job.state == "running" else None)


@router.post("/runs", status_code=201)
def start(request: Request, user: Operator, given: NewRun) -> Run:
    """Start a run that writes into the console's output folder and matches the people on its list."""
    require_all_cameras(user, SCOPE)
    job = runs_of(request).start(user.name, given.source, given.fpir, given.config, given.start, given.video)
    return Run(**_fields(job))


@router.post("/runs/{token}/stop")
def stop(request: Request, user: Operator, token: str) -> Run:
    """Stop a run. Its results so far are kept."""
    require_all_cameras(user, SCOPE)
    jobs = runs_of(request)
    jobs.stop(user.name, jobs.find(token).token)
    return Run(**_fields(jobs.find(token)))


@router.post("/runs/{token}/resume", status_code=201)
def resume(request: Request, user: Operator, token: str) -> Run:
    """Resume a run that has ended: finished files are skipped."""
    require_all_cameras(user, SCOPE)
    return Run(**_fields(runs_of(request).resume(user.name, token)))


@router.post("/recordings", status_code=201)
def upload(request: Request, user: Operator, file: UploadFile) -> Recording:
    """Upload a recording."""
    require_all_cameras(user, SCOPE)
    return Recording(source=str(runs_of(request).upload(user.name, file.filename or "", file.file)))
