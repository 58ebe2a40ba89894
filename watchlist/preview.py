"""Draw numbers on the faces of a photo, so that a user can choose one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from watchlist.photo_faces import PhotoFaces

LONG_SIDE = 1280  # longest side of the preview in pixels
MIN_FACE_PX = 40  # width of the smallest face in the preview; photos of smaller faces are enlarged, at most twice
COLOUR = (255, 210, 0)


def draw_numbered_faces(faces: PhotoFaces) -> NDArray[np.uint8]:
    """The photo RGB uint8 (H, W, 3) with a box and a number at each face."""
    scale = min(LONG_SIDE / max(faces.photo.shape[:2]), max(1.0, min(2.0, MIN_FACE_PX / float(faces.widths.min()))))
    size = [max(1, round(n * scale)) for n in faces.photo.shape[1::-1]]
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(faces.photo, (size[0], size[1]), interpolation=interpolation).astype(np.uint8)
    for number, box in enumerate(faces.faces.boxes * scale, 1):
        x1, y1, x2, y2 = (round(float(n)) for n in box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), COLOUR, 2)
        height = max(0.6, (x2 - x1) / 120)
        place = (max(0, x1 + 4), min(picture.shape[0] - 4, max(y1 + round(24 * height), 24)))
        for colour, thickness in (((0, 0, 0), 6), (COLOUR, 2)):  # an outline, for contrast on any background
            cv2.putText(picture, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, height, colour, thickness, cv2.LINE_AA)
    return picture


def write_preview(faces: PhotoFaces, folder: Path, name: str) -> Path | None:
    """Write the photo with numbered faces as ``folder/name.jpg``, readable by this user only.

    Args:
        faces: the photo and its faces.
        folder: created if missing. If it cannot be written, a temporary folder is used.
        name: file name without suffix.

    Returns:
        The file; None if it could not be written.
    """
    code = cv2.imencode(".jpg", np.ascontiguousarray(draw_numbered_faces(faces)[..., ::-1]))[1].tobytes()
    for choice in (folder, None):
        with contextlib.suppress(OSError):
            place = choice or Path(tempfile.mkdtemp(prefix="farsight-"))
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = place / f"{name}.jpg"
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(code)
            return path
    return None
