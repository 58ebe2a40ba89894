"""Page of the live cameras: their state, and forms to add, change, remove and test one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from console.camera_settings import CameraSettingsFile
from console.camera_test import try_camera
from console.context import Console, console_of
from console.pages.layout import Admin, Viewer, done, part, show, wants_part
from console.problems import Problem, not_found
from pipeline.errors import redact_url
from pipeline.monitoring.status_file import read_status

router = APIRouter(include_in_schema=False)
STALE_S = 10.0  # an older frame is not shown as current


@router.get("/cameras")
def cameras(request: Request, user: Viewer) -> HTMLResponse:
    """Show the cameras that the user may see."""
    console = console_of(request)
    status, file = read_status(console.out), _file(console)
    running = bool(status.get("running")) and status.get("command") == "live"
    reported = {s["name"]: s for s in status.get("sources", []) if isinstance(s, dict)} if status.get("command") == "live" else {}
    listed = {camera["name"]: camera for camera in file.redacted()} if file is not None else {}
    visible = []
    for name in dict.fromkeys([*listed, *reported]):
        if user.sees(name):
            visible.append(_card(console, name, listed.get(name), reported.get(name), running))
    named = None if file is None else str(file.path) if user.may("admin") else file.path.name
    context: dict[str, Any] = {"cameras": visible, "running": running, "at": status.get("at"), "file": named}
    if wants_part(request):
        return part(request, "cameras_now.html", **context)
    return show(request, user, "cameras.html", "cameras", "Cameras", **context)


@router.get("/cameras/still")
def still(request: Request, user: Viewer, name: str) -> FileResponse:
    """The last frame of a camera with its boxes, as JPEG."""
    path = _still(console_of(request), name) if user.sees(name) else None
    if path is None:
        raise not_found("no picture of this camera")
    return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "no-store"})


@router.get("/cameras/edit")
def edit(request: Request, user: Admin, name: str = "") -> HTMLResponse:
    """Show the form for a camera, without its password. Empty ``name``: a new camera."""
    file = _required_file(console_of(request))
    camera = next((known for known in file.redacted() if known["name"] == name), None)
    if name and camera is None:
        raise not_found(f"{name}: no such camera")
    return show(request, user, "camera_edit.html", "cameras", "Camera", camera=camera, file=str(file.path))


@router.post("/cameras/test")
def test(
    request: Request,
    user: Admin,
    url: Annotated[str, Form()] = "",
    transport: Annotated[str, Form()] = "tcp",
    before: Annotated[str, Form()] = "",
) -> HTMLResponse:
    """Test the connection to a camera."""
    console = console_of(request)
    address = _address(_required_file(console), url, before)
    with console.writer(user.name) as store:  # logged, because the server connects to an address that a user typed
        store.log_audit("camera tested", url=redact_url(address)[:300])
    return part(request, "camera_test.html", found=try_camera(address, "udp" if transport == "udp" else "tcp"))


@router.post("/cameras")
def save(
    request: Request,
    user: Admin,
    name: Annotated[str, Form()],
    url: Annotated[str, Form()] = "",
    transport: Annotated[str, Form()] = "tcp",
    before: Annotated[str, Form()] = "",
) -> Response:
    """Add a camera, or change the one that was called ``before``."""
    console = console_of(request)
    file = _required_file(console)
    known = file.find(before) if before else None
    camera = {**(known or {}), "name": name.strip(), "url": _address(file, url, before), "transport": transport}
    with console.writer(user.name) as store, store.transaction():  # a change that is not logged is undone
        file.put(camera, before)
        store.log_audit("camera changed" if before else "camera added", camera=name.strip())
    return done("/cameras", f"{name.strip()} was {'changed' if before else 'added'}; live cameras take it up within a second")


@router.post("/cameras/remove")
def remove(request: Request, user: Admin, name: Annotated[str, Form()]) -> Response:
    """Remove a camera from the settings; its sightings stay."""
    console = console_of(request)
    file = _required_file(console)
    with console.writer(user.name) as store, store.transaction():
        file.remove(name)
        store.log_audit("camera removed", camera=name)
    return done("/cameras", f"{name} was removed; its sightings stay")


def _address(file: CameraSettingsFile, url: str, before: str) -> str:
    """The entered address; the stored one if the field is empty or shows it without its password. Raises Problem 422."""
    known = file.find(before) if before else None
    entered = url.strip()
    if known is not None and (not entered or "***" in entered):
        redacted = next(camera["url"] for camera in file.redacted() if camera["name"] == before)
        if entered and entered != redacted:
            raise Problem(422, "The password is missing", "enter the whole address, or leave it empty to keep the present one")
        return str(known["url"])
    if not entered:
        raise Problem(422, "No address", "enter the camera's address, such as rtsp://user:password@192.0.2.10/stream1")
    return entered


def _file(console: Console) -> CameraSettingsFile | None:
    """The settings file of the current or last `live` in this output folder; None if it is not known."""
    status = read_status(console.out)
    config = status.get("config") if status.get("command") == "live" else None
    named = config or console.reader().preference("live_config", "")
    path = Path(str(named)) if named else None
    return CameraSettingsFile(path) if path is not None and path.is_file() else None


def _required_file(console: Console) -> CameraSettingsFile:
    found = _file(console)
    if found is None:
        raise Problem(409, "No settings file is known", "start `farsight live --config live.yaml` with this folder as `out` once")
    return found


def _still(console: Console, name: str) -> Path | None:
    path = console.folder.safe_path(f"stills/{name}.jpg")
    try:
        return path if path is not None and path.is_file() else None
    except OSError:
        return None


def _card(
    console: Console, name: str, camera: dict[str, Any] | None, reported: dict[str, Any] | None, running: bool
) -> dict[str, Any]:
    path, counts = _still(console, name), (reported or {}).get("counts") or {}
    fresh = path is not None and time.time() - path.stat().st_mtime < STALE_S
    state = str(reported.get("state") or "starting") if reported is not None and running else "not running"
    return {
        "name": name,
        "url": (camera or {}).get("url") or redact_url(str((reported or {}).get("url", ""))),
        "state": state,
        "kind": {"streaming": "ok", "not running": ""}.get(state, "waiting"),
        "reason": (reported or {}).get("reason", "") if running else "",
        "per_s": (reported or {}).get("per_s"),
        "delay_s": (reported or {}).get("delay_s"),
        "searched": counts.get("frames_searched", 0),
        "skipped": counts.get("dropped_for_newer", 0),
        "reconnects": counts.get("reconnects", 0),
        "still": path is not None,
        "fresh": fresh,
        "listed": camera is not None,
    }
