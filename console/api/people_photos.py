"""API: enrol people from uploaded photos, a zip or a CSV. Every photo gets a verdict."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import BaseModel, Field

from console.api.common import Operator
from console.api.people import PersonId, check_details, own_list
from console.auth import User
from console.context import console_of
from console.desk_photo import DeskFace, DeskPhoto
from console.imports import ImportJob, imports_of
from console.photo_desk import desk_of
from console.problems import Problem, not_found

router = APIRouter(prefix="/api/v1/people", tags=["people"])
MAX_PHOTOS = 50  # per request
MAX_PHOTO_BYTES = 40_000_000


class FaceFound(BaseModel):
    number: int = Field(description="1 is the widest")
    box: tuple[float, float, float, float] = Field(description="x1 y1 x2 y2 in pixels of the upright photo")
    face_px: float
    quality: float
    fault: str = Field(description="why the face cannot be enrolled; empty if it can")


class Verdict(BaseModel):
    """Result for one photo. If ``faces`` is not empty, choose one and send the photo again with ``face``."""

    name: str | None
    photo: str
    enrolled: bool
    reason: str
    identity: int | None = None
    face_px: float = 0.0
    quality: float = 0.0
    turned: int = 0
    faces: list[FaceFound] = Field(default_factory=list)
    size: tuple[int, int] | None = Field(default=None, description="width and height of the upright photo")


class Enrolled(BaseModel):
    verdicts: list[Verdict]


class Import(BaseModel):
    """State of an import, which runs in the background."""

    token: str
    ended: bool
    total: int = Field(description="photos to judge")
    enrolled: int
    fault: str
    warnings: list[str]
    verdicts: list[Verdict]


def described(photo: DeskPhoto) -> list[FaceFound]:
    """The faces of a photo, as JSON."""
    return [FaceFound(**{key: getattr(face, key) for key in DeskFace.__dataclass_fields__}) for face in photo.faces]


def read_photo(file: UploadFile) -> bytes:
    """Read an uploaded photo. Raises Problem 413 if it is larger than `MAX_PHOTO_BYTES`."""
    content = file.file.read(MAX_PHOTO_BYTES + 1)
    if len(content) > MAX_PHOTO_BYTES:
        raise Problem(413, "Too large", f"a photo may have at most {MAX_PHOTO_BYTES // 1_000_000} MB; make it smaller")
    return content


@router.post("/{identity}/photos")
def add_photos(
    request: Request,
    user: Operator,
    identity: PersonId,
    photos: Annotated[list[UploadFile], File()],
    face: Annotated[int | None, Form(ge=1, le=10_000)] = None,
    allow_lookalike: Annotated[bool, Form()] = False,
) -> Enrolled:
    """Enrol more photos of a person. Each gets a verdict, which lists the faces if one has to be chosen."""
    name = console_of(request).reader().name_of(identity)
    if name is None:
        raise not_found(f"person {identity}: nobody on the list has this id")
    return enrol_photos(request, user, name, photos, face, {}, allow_lookalike, identity)


@router.post("")
def add(
    request: Request,
    user: Operator,
    name: Annotated[str, Form(max_length=500)],
    photos: Annotated[list[UploadFile], File()],
    face: Annotated[int | None, Form(ge=1, le=10_000)] = None,
    external_id: Annotated[str, Form(max_length=500)] = "",
    purpose: Annotated[str, Form(max_length=4000)] = "",
    authority: Annotated[str, Form(max_length=4000)] = "",
    expires: Annotated[str, Form(max_length=10)] = "",
    allow_lookalike: Annotated[bool, Form()] = False,
) -> Enrolled:
    """Enrol a person with one or more photos. Each gets a verdict, which lists the faces if one has to be chosen."""
    details = {"name": name, "external_id": external_id.strip(), "purpose": purpose, "authority": authority, "expires": expires}
    check_details(details)
    name = details.pop("name")
    return enrol_photos(request, user, name, photos, face, {k: v for k, v in details.items() if v}, allow_lookalike)


def enrol_photos(
    request: Request,
    user: User,
    name: str,
    photos: list[UploadFile],
    face: int | None,
    details: dict[str, str],
    allow_lookalike: bool,
    identity: int | None = None,
) -> Enrolled:
    """Enrol uploaded photos of one person.

    Args:
        request: the request.
        user: who enrols.
        name: of the person.
        photos: 1 to `MAX_PHOTOS` files.
        face: number of the face in a single photo, from 1; None: the photo must show one person.
        details: ``external_id``, ``purpose``, ``authority`` and ``expires`` as far as given.
        allow_lookalike: also enrol a face that looks like somebody else on the list.
        identity: id of a person on the list; None: found by external id or name, or added.

    Raises:
        Problem: 409 if the list cannot be changed, 413 for a large file, 422 for wrong arguments.
    """
    if not 1 <= len(photos) <= MAX_PHOTOS:
        raise Problem(422, "Not allowed", f"photos: 1 to {MAX_PHOTOS} at a time; import more as a zip")
    if face is not None and len(photos) != 1:
        raise Problem(422, "Not allowed", "face: needs exactly one photo")
    own_list(console_of(request).reader())
    desk = desk_of(request)
    uploaded = [desk.add(user.name, photo.filename or "", read_photo(photo)) for photo in photos]
    refused = [Verdict(name=name, photo=photo.name, enrolled=False, reason=photo.fault) for photo in uploaded if not photo.faces]
    usable = {photo.token: photo for photo in uploaded if photo.faces}
    entries = [desk.entry(user.name, token, name, face, details, identity) for token in usable]
    judged = desk.enrol(user.name, entries, allow_lookalike) if entries else []
    verdicts = [_verdict(verdict, photo) for verdict, photo in zip(judged, usable.values(), strict=True)]
    return Enrolled(verdicts=[*verdicts, *refused])


def _verdict(verdict: Any, photo: DeskPhoto | None = None) -> Verdict:
    choose = photo is not None and verdict.reason.startswith(("several_faces", "no_such_face"))
    return Verdict(
        name=verdict.name,
        photo=verdict.photo,
        enrolled=not verdict.reason,
        reason=verdict.reason,
        identity=verdict.identity,
        face_px=round(verdict.face_px, 1),
        quality=round(verdict.quality, 3),
        turned=90 * verdict.turns,
        faces=described(photo) if choose and photo is not None else [],
        size=(photo.width, photo.height) if choose and photo is not None else None,
    )


@router.post("/import", status_code=202)
def import_people(
    request: Request, user: Operator, files: Annotated[list[UploadFile], File()], allow_lookalike: Annotated[bool, Form()] = False
) -> Import:
    """Start to enrol the people of a zip (``NAME/*.jpg``, or a CSV with its photos), or of a CSV and its photos."""
    own_list(console_of(request).reader())
    given = [(file.filename or "", file.file) for file in files]
    return _import(imports_of(request).begin(user.name, given, allow_lookalike))


@router.get("/import/{token}")
def import_state(request: Request, user: Operator, token: str) -> Import:
    """Progress of an import, with the verdicts so far."""
    return _import(imports_of(request).job(user.name, token))


def _import(job: ImportJob) -> Import:
    left = [Verdict(name=None, photo=path, enrolled=False, reason=f"left_out: {why}") for path, why in job.left_out]
    return Import(
        token=job.token,
        ended=job.ended,
        total=job.total,
        enrolled=job.enrolled,
        fault=job.fault,
        warnings=job.warnings,
        verdicts=[_verdict(verdict) for verdict in list(job.verdicts)] + left,
    )
