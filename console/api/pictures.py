"""Pictures of tracks and people, and annotated videos."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import FileResponse

from console.auth import User, require
from console.context import console_of
from console.pictures import thumbnail, track_thumbnail
from console.problems import allowed, not_found
from watchlist.time_arguments import require_one_of

router = APIRouter(tags=["pictures"])
MAX_SQLITE_INT = 2**63 - 1
Viewer = Annotated[User, Depends(require("viewer"))]


@router.get("/picture")
def picture(request: Request, user: Viewer, source: str, track: str, kind: str = "crop") -> Response:
    """Thumbnail of a track's ``crop`` or ``restored`` chip, as JPEG."""
    allowed(lambda: require_one_of("kind", kind, ("crop", "restored")))
    console = console_of(request)
    rows = console.reader().find_tracks([(source, track)]) if user.sees(source) else []
    return jpeg(track_thumbnail(console.folder, rows[0], kind) if rows else None)


@router.get("/enrolled/{identity}")
def enrolled(request: Request, user: Viewer, identity: int) -> Response:
    """Thumbnail of a person's first enrolled photo, as JPEG."""
    photo = console_of(request).reader().first_photo(identity) if abs(identity) <= MAX_SQLITE_INT else None
    return jpeg(None if photo is None else thumbnail(photo[1]))


@router.get("/annotated/{name}")
def video(request: Request, user: Viewer, name: str) -> FileResponse:
    """The annotated video of a source, as MP4."""
    fits = name.endswith(".mp4") and user.sees(name.removesuffix(".mp4"))
    path = console_of(request).folder.safe_path(f"annotated/{name}") if fits else None
    if path is None or not path.is_file():
        raise not_found("no such video")
    return FileResponse(path, media_type="video/mp4", headers={"cache-control": "private, no-cache"})


def jpeg(content: bytes | None) -> Response:
    """Answer with a JPEG that a browser may cache for five minutes. Raises Problem 404 for None."""
    if content is None:
        raise not_found("no such picture")
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=300"})
