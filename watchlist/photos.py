"""A photo to enrol: its file, and the person it shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class PhotoError(ValueError):
    """A photo or a list of photos cannot be used. The text says why."""


@dataclass(frozen=True)
class PhotoEntry:
    """A photo to enrol.

    Attributes:
        name: the person, as `watchlist.names.normalised_name` makes it.
        photo: the file.
        details: any of external_id, purpose, authority and expires.
        face: which face to take if the photo shows several, 1 for the largest.
        identity: id of a person who is on the list already; None: the external id or the name decides.
        shown: name to show for an uploaded photo; "": the path's.
    """

    name: str
    photo: Path
    details: dict[str, str] = field(default_factory=dict)
    face: int | None = None
    identity: int | None = None
    shown: str = ""


def read_photo(path: Path) -> NDArray[np.uint8]:
    """Read a photo as RGB uint8 (H, W, 3). Raises PhotoError, see `models.pictures.read_picture`."""
    return read_photo_with_digest(path)[0]


def read_photo_with_digest(path: Path) -> tuple[NDArray[np.uint8], str]:
    """Read a photo as RGB uint8 (H, W, 3), and the SHA-256 of its file as hexadecimal digits. Raises PhotoError."""
    from models.pictures import PictureError, read_file, read_picture

    try:
        content = read_file(path)
        return read_picture(content), hashlib.sha256(content).hexdigest()
    except PictureError as error:
        raise PhotoError(str(error)) from None
