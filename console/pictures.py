"""Thumbnails for pages, embedded or linked, and JPEGs of faces."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.pictures import PictureError, read_picture
from watchlist.output_folder import OutputFolder
from watchlist.store import Store

THUMBNAIL_PX = 160
FORMATS = ("PNG", "JPEG", "WEBP")


class Pictures(Protocol):
    """Gives a page its pictures. The methods return an address for ``src``, or None if there is no picture."""

    def track_picture(self, row: dict[str, Any], kind: str) -> str | None: ...

    def person_photo(self, identity: int) -> str | None: ...


class InlinePictures:
    """Embeds pictures into the page as data URLs.

    Args:
        store: database with the enrolled photos.
        out: output folder with the crops.
        max_bytes: limit for all data URLs together. Pictures beyond it are left out and counted in ``omitted``.
    """

    def __init__(self, store: Store, out: Path, max_bytes: int) -> None:
        self._store, self._folder, self._left = store, OutputFolder(out), max_bytes
        self._people: dict[int, str | None] = {}
        self.omitted = 0

    def track_picture(self, row: dict[str, Any], kind: str) -> str | None:
        content = track_thumbnail(self._folder, row, kind)
        return None if content is None else self._spent(_data_url(content))

    def person_photo(self, identity: int) -> str | None:
        if identity not in self._people:
            photo = self._store.first_photo(identity)
            content = None if photo is None else thumbnail(photo[1])
            self._people[identity] = None if content is None else _data_url(content)
        found = self._people[identity]
        return None if found is None else self._spent(found)

    def _spent(self, url: str) -> str | None:
        if len(url) > self._left:
            self.omitted += 1
            return None
        self._left -= len(url)
        return url


class LinkedPictures:
    """Links to pictures that the console serves (`console.api.pictures`)."""

    def track_picture(self, row: dict[str, Any], kind: str) -> str | None:
        if not row[kind]:
            return None
        return f"/picture?{urlencode({'source': row['source'], 'track': row['track'], 'kind': kind})}"

    def person_photo(self, identity: int) -> str | None:
        return f"/enrolled/{int(identity)}"


def track_thumbnail(folder: OutputFolder, row: dict[str, Any], kind: str) -> bytes | None:
    """Thumbnail of a track's ``crop`` or ``restored`` chip as JPEG; None if the folder does not hold it."""
    path = folder.picture_path(row[kind])
    try:
        return None if path is None else thumbnail(path.read_bytes())
    except OSError:
        return None


def thumbnail(picture: bytes) -> bytes | None:
    """Make a thumbnail with `THUMBNAIL_PX` pixels on its longer side.

    A smaller picture is enlarged without interpolation, so that its pixels stay visible.

    Args:
        picture: content of a PNG, JPEG or WebP file.

    Returns:
        A JPEG; None if the picture cannot be read or is too large.
    """
    try:
        image = Image.fromarray(read_picture(picture, FORMATS))
    except PictureError:
        return None
    factor = THUMBNAIL_PX / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    image = image.resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return buffer.getvalue()


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def cut_face(photo: NDArray[np.uint8], box: tuple[float, ...]) -> NDArray[np.uint8]:
    """Crop a face, with a margin of a quarter of its longer side.

    Args:
        photo: uint8 (H, W, 3).
        box: x1, y1, x2, y2 in pixels.
    """
    x1, y1, x2, y2 = box
    margin = 0.25 * max(x2 - x1, y2 - y1)
    height, width = photo.shape[:2]
    left, top = max(0, int(x1 - margin)), max(0, int(y1 - margin))
    return photo[top : max(top + 1, min(height, int(y2 + margin))), left : max(left + 1, min(width, int(x2 + margin)))]


def encode_jpeg(picture: NDArray[np.uint8], longest: int) -> bytes:
    """Encode a picture uint8 (H, W, 3) RGB as JPEG, with at most ``longest`` pixels on its longer side."""
    image = Image.fromarray(picture)
    image.thumbnail((longest, longest))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
