"""Label the face in each chip with a teacher detector, because the box in an aligned chip depends on head pose.

    python -m training.data.label_chips --data DATA --teacher scrfd_2.5g_kps.onnx --out .cache/frames/chips.npz

Twenty-five chips form one frame. Writes ``boxes`` (N, 4) and ``landmarks`` (N, 5, 2) in chip pixels, counted from pixel edges,
and ``scores`` (N,), 0 where no face is found, in the order of ``DATA/chips/index.csv``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models import Detector, load_detector
from models.chip import CHIP
from models.faces import Faces
from training.common.runs import current_command
from training.data.chips import load_chips

SIDE = 5  # chips in a row, and rows
LEAST_SCORE = 0.2


def detect_in_sheet(teacher: Detector, chips: NDArray[np.uint8]) -> Faces:
    """The best face near the centre of each of at most 25 chips uint8 (N, 128, 128, 3); score 0 where there is none."""
    sheet = np.zeros((SIDE * SIDE, CHIP, CHIP, 3), np.uint8)
    sheet[: len(chips)] = chips
    found = teacher.detect([np.vstack([np.hstack(list(row)) for row in sheet.reshape(SIDE, SIDE, CHIP, CHIP, 3)])])[0]
    boxes, landmarks, scores = (np.zeros((len(chips), *shape), np.float32) for shape in ((4,), (5, 2), ()))
    for box, points, score in zip(found.boxes, found.landmarks, found.scores, strict=True):
        centre = box.reshape(2, 2).mean(0)
        column, row = (centre // CHIP).astype(int)
        place = row * SIDE + column
        corner = np.array([column, row], np.float32) * CHIP
        if place < len(chips) and score > scores[place] and (np.abs(centre - corner - CHIP / 2) < CHIP / 4).all():
            boxes[place], landmarks[place], scores[place] = box - np.tile(corner, 2), points - corner, score
    return Faces(boxes, landmarks, scores)


def detect_in_chips(teacher: Detector, chips: NDArray[np.uint8]) -> Faces:
    """The best face near the centre of each chip uint8 (N, 128, 128, 3), in chip pixels; score 0 where there is none."""
    firsts = track(range(0, len(chips), SIDE**2), "chips")
    return Faces.merge([detect_in_sheet(teacher, np.asarray(chips[first : first + SIDE**2])) for first in firsts])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    args = parser.parse_args()
    cv2.setNumThreads(1)
    teacher, images = load_detector(args.teacher, "auto", LEAST_SCORE), load_chips(args.data, args.cache).images
    faces = detect_in_chips(teacher, images)
    np.savez(args.out, boxes=faces.boxes.astype(np.float16), landmarks=faces.landmarks.astype(np.float16), scores=faces.scores)
    args.out.with_suffix(".txt").write_text(current_command())
    print(f"a face in {(faces.scores > 0).mean():.1%} of {len(images)} chips, a sure one in {(faces.scores >= 0.5).mean():.1%}")


if __name__ == "__main__":
    main()
