"""A contact sheet of the false positives with the highest scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

CELL, COLUMNS, MAX_CELLS = 120, 10, 100
MARGIN = 1.0  # around the box, in units of its longer side
MIN_SCORE = 0.15  # no cell is cut below this score


@dataclass(frozen=True)
class FalsePositive:
    """A false positive.

    Attributes:
        where: name, look and scale of the picture.
        cell: uint8 (CELL, CELL, 3) RGB, the detection with its surroundings.
        box: x1 y1 x2 y2 in pixels.
        score: of the detection.
    """

    where: str
    cell: NDArray[np.uint8]
    box: tuple[float, ...]
    score: float

    @staticmethod
    def crop(where: str, image: NDArray[np.uint8], box: NDArray[np.float32], score: float) -> FalsePositive:
        """Cut a detection with its surroundings out of an image uint8 (H, W, 3) RGB, and draw its box."""
        if score < MIN_SCORE:
            return FalsePositive(where, np.zeros((0, 0, 3), np.uint8), tuple(box.tolist()), score)
        x1, y1, x2, y2 = (float(value) for value in box)
        side = max(4.0, max(x2 - x1, y2 - y1) * (1 + 2 * MARGIN))
        zoom = CELL / side
        left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
        matrix = np.array([[zoom, 0, -left * zoom], [0, zoom, -top * zoom]], np.float32)
        method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
        cell = cv2.warpAffine(image, matrix, (CELL, CELL), flags=method, borderMode=cv2.BORDER_CONSTANT)
        corners = [(round((x - left) * zoom), round((y - top) * zoom)) for x, y in ((x1, y1), (x2, y2))]
        cv2.rectangle(cell, corners[0], corners[1], (60, 255, 60), 1)
        return FalsePositive(where, cell.astype(np.uint8), (x1, y1, x2, y2), score)


def write_sheet(path: Path, falses: list[FalsePositive]) -> list[dict[str, object]]:
    """Write the false positives with the highest scores as PNG, one for each position in a picture; returns them, best first."""
    chosen: list[FalsePositive] = []
    places: set[tuple[str | int, ...]] = set()
    for false in sorted(falses, key=lambda f: -f.score):
        picture, _, size = false.where.rsplit(" ", 2)
        larger = int(size.split("/")[1])
        middle = (picture, *(round(larger * (a + b) / 2 / 24) for a, b in zip(false.box[:2], false.box[2:], strict=True)))
        if middle in places or not false.cell.size:
            continue
        places.add(middle)
        chosen.append(false)
        if len(chosen) == MAX_CELLS:
            break
    sheet = np.zeros((-(-len(chosen) // COLUMNS) * CELL or CELL, COLUMNS * CELL, 3), np.uint8)
    for place, false in enumerate(chosen):
        y, x = (n * CELL for n in divmod(place, COLUMNS))
        sheet[y : y + CELL, x : x + CELL] = false.cell
        cv2.putText(sheet, f"{place} {false.score:.2f}", (x + 3, y + 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 0), 1)
    cv2.imwrite(str(path), np.ascontiguousarray(sheet[..., ::-1]))
    return [{"where": f.where, "box": [round(v, 1) for v in f.box], "score": round(f.score, 3)} for f in chosen]
