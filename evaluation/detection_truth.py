"""Ground truth of the detector's dev photos: the teacher's labels, with ignored regions added by eye.

``detection_truth.txt`` lists faces in scene photos that the teacher missed: out of focus, or cut by the picture's edge. They
were found by eye among the 140 most frequent false positives of our detector and YuNet. They count neither as faces nor as
false positives.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

import numpy as np

from training.data.scenes import Scene, dev_photo, photos
from training.detector.scene_maker import UNSURE

IGNORED_FACES = Path(__file__).with_suffix(".txt")


@cache
def ignored_boxes() -> dict[str, list[list[float]]]:
    """Boxes x1 y1 x2 y2, in pixels of the photo, by name of the photo."""
    found = defaultdict(list)
    for line in IGNORED_FACES.read_text().splitlines():
        name, *box = line.split()
        found[name].append([float(value) for value in box])
    return dict(found)


def add_ignored(scene: Scene, boxes: list[list[float]]) -> Scene:
    """The scene with further ignored boxes."""
    added = np.array(boxes, np.float32).reshape(-1, 4)
    return Scene(
        scene.image,
        np.concatenate([scene.boxes, added]),
        np.concatenate([scene.landmarks, np.repeat(added.reshape(-1, 2, 2).mean(1)[:, None], 5, 1)]),
        np.append(scene.scores, np.full(len(added), UNSURE, np.float32)),
    )


def load_dev_photos(data: Path) -> list[Scene]:
    """The dev photos with their ignored boxes."""
    return [add_ignored(scene, ignored_boxes().get(name, [])) for name, scene in photos(data, dev_photo)]
