"""API: search past tracks by a photo, by a track, or by a person on the list."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from console.api.common import MAX_ID, Reviewer, picture_address, require_track
from console.api.people_photos import FaceFound, described, read_photo
from console.auth import User
from console.context import console_of
from console.photo_desk import desk_of
from console.problems import Problem, allowed, not_found
from watchlist.search_back import TrackHit
from watchlist.time_arguments import parse_time_range
from watchlist.track_filter import TrackFilter

router = APIRouter(prefix="/api/v1/search", tags=["search"])


class Hit(BaseModel):
    """A past track. ``score`` is a cosine; ``threshold`` is the cosine that a match needs at ``fpir`` of the whole search."""

    source: str
    track: str
    start_s: float
    end_s: float
    started_at: float | None
    ended_at: float | None
    score: float
    threshold: float
    fpir: float
    outcome: str
    face_px: float
    name: str | None = Field(description="name of the person that the track matched when it was seen")
    identity: int | None
    crop: str | None
    restored: str | None


class Found(BaseModel):
    """The hits. If no face can be used or one has to be chosen: ``refused`` (why) and the photo's ``faces``."""

    hits: list[Hit] = Field(default_factory=list)
    compared: int = Field(default=0, description="number of tracks compared")
    refused: str = ""
    faces: list[FaceFound] = Field(default_factory=list)
    size: tuple[int, int] | None = Field(default=None, description="width and height of the upright photo")


class SearchOptions(BaseModel):
    """Number of hits, FPIR and filter of a search."""

    top: int
    fpir: float
    where: TrackFilter


def search_options(
    user: Reviewer,
    top: Annotated[int, Query(ge=1, le=500, description="largest number of hits")] = 50,
    fpir: Annotated[float, Query(ge=1e-6, le=0.5, description="false alarms allowed per search, over all tracks")] = 0.01,
    source: str | None = None,
    since: Annotated[str | None, Query(description="such as 2026-11-01T18:30, Unix seconds, or PTS seconds")] = None,
    until: str | None = None,
    min_px: Annotated[float | None, Query(ge=0, le=1e6)] = None,
) -> SearchOptions:
    """Dependency: the options in the query of a request, restricted to the cameras that the user may see. Raises Problem 422."""
    first, last = allowed(lambda: parse_time_range(since or None, until or None, prefix=""))
    where = TrackFilter(source or None, first.pts_s, first.at, last.at, min_px, last.pts_s, sources=user.cameras)
    return SearchOptions(top=top, fpir=fpir, where=where)


Options = Annotated[SearchOptions, Depends(search_options)]


@router.post("/photo")
def by_photo(
    request: Request,
    user: Reviewer,
    options: Options,
    photo: UploadFile,
    face: Annotated[int | None, Form(ge=1, le=10_000, description="number of the face, if there are several")] = None,
) -> Found:
    """Search for the person in a photo."""
    desk = desk_of(request)
    uploaded = desk.add(user.name, photo.filename or "", read_photo(photo))
    number = uploaded.chosen if face is None else face
    if number is None or not 1 <= number <= len(uploaded.faces):
        refused = uploaded.fault or ("no_such_face" if face is not None else "several_faces")
        return Found(refused=refused, faces=described(uploaded), size=(uploaded.width, uploaded.height))
    return search(request, user, options, desk.vector(user.name, uploaded.token, number)[None], "photo")


@router.post("/track/{source}/{track}")
def by_track(request: Request, user: Reviewer, options: Options, source: str, track: str) -> Found:
    """Search for the person of another track, by its template."""
    require_track(request, user, source, track)
    vector = console_of(request).reader().template_of(source, track)
    if vector is None:
        raise Problem(422, "No embedding", "no shot of this track was good enough to compare; search by a photo")
    return search(request, user, options, vector[None], "track")


@router.post("/person/{identity}")
def by_person(request: Request, user: Reviewer, options: Options, identity: int) -> Found:
    """Search for a person on the list, by all their photos."""
    store = console_of(request).reader()
    if not 0 < identity <= MAX_ID or store.name_of(identity) is None:
        raise not_found(f"person {identity}: nobody on the list has this id")
    photos = store.enrolments(identity)
    if not photos:
        raise Problem(422, "No photo", "this person has no enrolled photo; search by a photo")
    return search(request, user, options, np.stack([photo.vector for photo in photos]), f"person {identity}")


def search(request: Request, user: User, options: SearchOptions, vectors: NDArray[np.float32], by: str) -> Found:
    """Search past tracks; every search is in the audit log. Raises Problem."""
    hits, compared = desk_of(request).search(vectors, options.top, options.fpir, options.where, user.name, by)
    return Found(hits=[_hit(hit) for hit in hits], compared=compared)


def _hit(hit: TrackHit) -> Hit:
    keys = ("source", "track", "start_s", "end_s", "started_at", "ended_at", "face_px", "name", "identity")
    fields: dict[str, Any] = {key: hit.row[key] for key in keys}
    fields |= {kind: picture_address(hit.row, kind) for kind in ("crop", "restored")}
    fields |= {key: getattr(hit, key) for key in ("score", "threshold", "fpir", "outcome")}
    return Hit(**fields)
