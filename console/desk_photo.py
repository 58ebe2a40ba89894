"""An uploaded photo and its faces, as the photo desk describes them to pages and API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watchlist.photo_faces import PhotoFaces


@dataclass(frozen=True)
class DeskFace:
    """A face of an uploaded photo.

    Attributes:
        number: from 1, widest first.
        box: x1, y1, x2, y2 in pixels of the upright photo.
        face_px: face width in pixels.
        quality: 0 to 1.
        fault: why the enrolment gate would refuse the face; empty: it would not.
    """

    number: int
    box: tuple[float, float, float, float]
    face_px: float
    quality: float
    fault: str


@dataclass(frozen=True)
class DeskPhoto:
    """An uploaded photo.

    Attributes:
        token: id of the photo in addresses.
        name: file name.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
        faces: widest first.
        chosen: number of the face, if the photo clearly shows one person; None: the user has to choose.
        fault: why the photo cannot be used; empty: it can.
    """

    token: str
    name: str
    width: int = 0
    height: int = 0
    faces: tuple[DeskFace, ...] = ()
    chosen: int | None = None
    fault: str = ""


def describe_photo(token: str, name: str, found: PhotoFaces) -> DeskPhoto:
    """Describe an analysed photo.

    Args:
        token: id of the photo in addresses.
        name: file name.
        found: its faces.
    """
    from watchlist.enrolment import face_fault

    faces = tuple(
        DeskFace(row + 1, tuple(map(float, box)), float(width), float(quality), face_fault(found, row))  # type: ignore[arg-type]
        for row, (box, width, quality) in enumerate(zip(found.faces.boxes, found.widths, found.quality, strict=True))
    )
    people = found.subjects() if len(found) else []
    height, width = found.photo.shape[:2]
    chosen = people[0] + 1 if len(people) == 1 else None
    return DeskPhoto(token, name, width, height, faces, chosen, "" if faces else "no_face")
