"""API: state of the live cameras, which `live` writes into ``status.json`` once a second."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from console.api.common import Viewer
from console.context import console_of
from pipeline.errors import redact_url
from pipeline.monitoring.status_file import read_status

router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])
FRESH_S = 10.0  # seconds; if the state is older, `live` does not answer


class Camera(BaseModel):
    name: str
    url: str = Field(description="address without credentials")
    state: str = Field(description="starting, connecting, streaming, backing off, stopped, or unknown if `live` does not answer")
    reason: str
    per_s: float | None = Field(description="frames searched per second")
    delay_s: float | None
    counts: dict[str, int] = Field(description="frames decoded, searched and skipped, reconnects, stalls, replaced readers")
    still: str = Field(description="address of the last frame, with boxes")


class Cameras(BaseModel):
    running: bool = Field(description="whether `live` runs on this folder")
    at: float | None = Field(description="Unix time of the state")
    cameras: list[Camera]


@router.get("")
def cameras(request: Request, user: Viewer) -> Cameras:
    """State, frame counts, delay and reconnects of each live camera."""
    found = read_status(console_of(request).out)
    if found.get("command") != "live":
        return Cameras(running=False, at=None, cameras=[])
    at = _number(found.get("at"))
    running = bool(found.get("running"))
    fresh = at is not None and abs(time.time() - at) < FRESH_S
    visible = []
    for camera in found["sources"]:
        if isinstance(camera, dict) and isinstance(camera.get("name"), str) and user.sees(camera["name"]):
            state = str(camera.get("state", "")) if fresh else "unknown"
            visible.append(_camera(camera, state if running else "stopped"))
    return Cameras(running=running and fresh, at=at, cameras=visible)


def _camera(camera: dict[str, Any], state: str) -> Camera:
    from urllib.parse import urlencode

    counts = camera.get("counts")
    return Camera(
        name=camera["name"],
        url=redact_url(str(camera.get("url", ""))),
        state=state,
        reason=str(camera.get("reason", "")),
        per_s=_number(camera.get("per_s")),
        delay_s=_number(camera.get("delay_s")),
        counts={str(key): value for key, value in counts.items() if isinstance(value, int)} if isinstance(counts, dict) else {},
        still=f"/cameras/still?{urlencode({'name': camera['name']})}",
    )


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
