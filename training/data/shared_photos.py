"""Find the scene photos that show a face of the training chips; they are excluded from the dev split.

    python -m training.data.shared_photos --data DATA      # writes training/data/shared_photos.txt; a minute

Both collections contain the same photos, cropped and compressed differently. A photo is shared if one of its faces, cut as a
chip, has a correlation above `SAME` with a training chip after alignment by ECC (Evangelidis and Psarakis 2008). Two different
pictures of one person stay below it (at most 0.971 for faces of lfw-dev, none of which is among the chips).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP, warp_chip
from training.data.chips import load_chips
from training.data.scenes import SHARED_PHOTOS, photos

LEAST_WIDTH, LEAST_SCORE = 40, 0.6  # of faces that are compared
CANDIDATES, ALIKE, SAME = 3, 0.93, 0.993
ECC = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)

Chip = NDArray[np.uint8]


def thumbnail(chip: Chip) -> NDArray[np.float32]:
    """The centre of a chip as 24x24 grey values, float32 (576,) with mean 0 and length 1."""
    middle = cv2.cvtColor(np.ascontiguousarray(chip[24:120, 20:108]), cv2.COLOR_RGB2GRAY)
    flat = cv2.resize(middle, (24, 24), interpolation=cv2.INTER_AREA).astype(np.float32).ravel()
    flat -= flat.mean()
    return np.asarray(flat / (np.linalg.norm(flat) + 1e-6), np.float32)


def correlation(a: Chip, b: Chip) -> float:
    """Correlation of the grey values of two chips after affine alignment (ECC); 0 if alignment fails."""
    left, right = (
        cv2.GaussianBlur(cv2.cvtColor(np.ascontiguousarray(c), cv2.COLOR_RGB2GRAY), (0, 0), 1.5)[16:120, 16:112] for c in (a, b)
    )
    try:
        return float(cv2.findTransformECC(left, right, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, ECC)[0])
    except cv2.error:  # ECC did not converge
        return 0.0


def main() -> None:
    from rich.progress import track

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    args = parser.parse_args()
    chips = load_chips(args.data, args.cache)
    rows = np.flatnonzero(chips.train & (chips.source == "celeba"))
    known = np.stack([thumbnail(chips.images[row]) for row in rows])
    found, total = [], 0
    for name, scene in track(photos(args.data, lambda _: True), "photos"):
        total += 1
        for box, points, score in zip(scene.boxes, scene.landmarks, scene.scores, strict=True):
            if box[2] - box[0] < LEAST_WIDTH or score < LEAST_SCORE:
                continue
            chip = warp_chip(scene.image, points, CHIP)
            alike = known @ thumbnail(chip)
            best = [k for k in np.argsort(-alike)[:CANDIDATES] if alike[k] > ALIKE]
            if any(correlation(chip, chips.images[rows[k]]) > SAME for k in best):
                found.append(name)
                break
    SHARED_PHOTOS.write_text("\n".join(sorted(found)) + "\n")
    print(f"{len(found)} of {total} photos are shared: {SHARED_PHOTOS}")


if __name__ == "__main__":
    main()
