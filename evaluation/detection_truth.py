"""What the detector is measured against: the teacher's labels of the dev part, and what a look at the pictures added to them.

``detection_truth.txt`` names faces in scene photos of which the teacher says nothing: out of focus, or cut by the picture's edge.
They were found by eye among what the detectors measured were blamed for most often (the 140 places that ours and YuNet took for
a face at the most sizes and looks). They are no false alarms, but nobody has to find them: they count neither way.
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
    """Boxes (left, top, right, bottom in pixels of the photo) of such faces by the photo's name."""
    found = defaultdict(list)
    for line in IGNORED_FACES.read_text().splitlines():
        name, *box = line.split()
        found[name].append([float(value) for value in box])
    return dict(found)


def add_ignored(scene: Scene, boxes: list[list[float]]) -> Scene:
    """The scene with further faces that count neither way."""
    added = np.array(boxes, np.float32).reshape(-1, 4)
    return Scene(
        scene.image,
        np.concatenate([scene.boxes, added]),
        np.concatenate([scene.landmarks, np.repeat(added.reshape(-1, 2, 2).mean(1)[:, None], 5, 1)]),
        np.append(scene.scores, np.full(len(added), UNSURE, np.float32)),
    )


def load_dev_photos(data: Path) -> list[Scene]:
    """The scene photos kept for measuring, with what was seen by eye."""
    return [add_ignored(scene, ignored_boxes().get(name, [])) for name, scene in photos(data, dev_photo)]
