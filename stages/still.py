"""Writes the newest frame of each live camera, with boxes around the faces, for the console."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.protocol import Batch
from stages.records import Image, TrackedFrame

FOLDER = "stills"
COLOUR = (255, 210, 31)


class Still:
    """Passes all frames on unchanged, and writes the newest one of each camera as ``stills/NAME.jpg``.

    The file is deleted when the camera ends. Nothing is written if the output folder is on another machine.

    Args:
        out: output folder.
        every_s: shortest time between two images of a camera in seconds. Lowering it writes to the disk more often.
        width: largest width of the image in pixels; wider frames are reduced.
    """

    def __init__(self, out: Path, every_s: float = 1.0, width: int = 640) -> None:
        self._folder, self._every_s, self._width = Path(out) / FOLDER, every_s, width
        self._written: dict[str, float] = {}

    def open(self) -> None:
        with suppress(OSError):
            if self._folder.parent.is_dir():
                self._folder.mkdir(mode=0o700, exist_ok=True)

    def process(self, batch: Batch) -> Batch:
        newest: dict[str, TrackedFrame] = {item.frame.source: item for item in batch}
        now = time.monotonic()
        for source, item in newest.items():
            if item.frame.captured is not None and now - self._written.get(source, -self._every_s) >= self._every_s:
                self._written[source] = now
                with suppress(OSError, cv2.error):  # such as a full disk, which must not stop the search
                    self._write(source, draw_boxes(item.frame.image, item.faces.boxes, self._width))
        return batch

    def flush(self) -> Batch:
        for source in self._written:
            with suppress(OSError):
                self._path(source).unlink()
        self._written.clear()
        return []

    def close(self) -> None:
        self.flush()

    def _path(self, source: str) -> Path:
        return self._folder / f"{source}.jpg"

    def _write(self, source: str, picture: NDArray[np.uint8]) -> None:
        if not self._folder.is_dir() or self._folder.is_symlink():
            return
        code = cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 75])[1].tobytes()
        part = self._folder / f".{source}.{os.getpid()}.part"
        part.unlink(missing_ok=True)  # so that no link is written through
        part.write_bytes(code)
        part.replace(self._path(source))


def draw_boxes(image: Image, boxes: Iterable[NDArray[np.float32]], width: int) -> NDArray[np.uint8]:
    """A frame, uint8 (H, W, 3) RGB, at most ``width`` pixels wide, with boxes ``x1 y1 x2 y2`` around faces."""
    scale = min(1.0, width / image.shape[1])
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    for box in boxes:
        x1, y1, x2, y2 = (round(float(side) * scale) for side in box)
        cv2.rectangle(picture, (x1 - 2, y1 - 2), (x2 + 2, y2 + 2), COLOUR, 2)
    return picture
