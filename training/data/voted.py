"""Photos labelled by two detectors: a detection of both is a face; a detection of only one is ignored.

Labels of one teacher contain its misses as background and its false detections as faces. Disagreement with a second detector,
the witness, marks both kinds as doubtful. ``DATA/scenes2`` holds such photos (``scenes.tar``, ``labels.json`` and ``index.csv``,
with their origins), and
``training/data/photo_labels.npz`` holds
the labels of `training.data.label_photos` for photos of public repositories; the photos must be downloaded separately
(training/README.md). ``training/data/no_faces.txt`` lists false detections found by manual review: animals, drawings, dolls,
objects.
"""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces import Faces, pairwise_iou
from training.data.held_out import held_out
from training.data.scenes import SURE, UNSURE, Scene, decode

LABELS = Path(__file__).with_name("photo_labels.npz")
LONGEST = 640  # longer side of a photo in pixels, for labelling and training
PLACE_STEPS, SCORE_STEPS = 4, 250
NO_FACES = Path(__file__).with_name("no_faces.txt")
LOOKED_AT = 0.6  # IoU from which a label matches a box of `NO_FACES`
LEAST_WITNESS = 0.1
SECOND = 0.3  # the witness's score from which it confirms a sure detection of the teacher
AGREES, DOUBTED = 1.15, 0.35  # smallest score sum and teacher score of a detection confirmed by a sure witness


@dataclass(frozen=True)
class Votes:
    """Detections of two detectors, the teacher and the witness, in one photo.

    Attributes:
        size: width and height of the photo in pixels.
        faces: detections of the teacher (N).
        second: float32 (N,), the witness's score for each of these faces; 0 where the witness has no detection.
        alone: detections of the witness only.
    """

    size: tuple[int, int]
    faces: Faces
    second: NDArray[np.float32]
    alone: Faces

    def scene(self, image: NDArray[np.uint8]) -> Scene:
        """Combine the votes into labels: confirmed faces keep the teacher's score, doubtful ones get `UNSURE`.

        Args:
            image: the photo, uint8 (H, W, 3) RGB.
        """
        scores, second = self.faces.scores, self.second
        sure = (scores >= SURE) & (second >= SECOND)
        hard = ~sure & (scores >= DOUBTED) & (second >= SURE) & (scores + second >= AGREES)
        combined = np.where(sure, scores, np.where(hard, SURE, UNSURE))
        alone = np.full(len(self.alone), UNSURE)
        faces = Faces.merge([self.faces, self.alone])
        return Scene(image, faces.boxes, faces.landmarks, np.append(combined, alone).astype(np.float32))


def votes_of(label: dict[str, Any]) -> Votes:
    """Parse a label of ``scenes2/labels.json``: ``yunet`` holds the witness's scores for the teacher's faces, ``yunet_alone`` the
    boxes and scores that only the witness found."""
    boxes, landmarks, scores, second = (np.array(label[name], np.float32) for name in ("boxes", "landmarks", "scores", "yunet"))
    alone = np.array(label["yunet_alone"], np.float32).reshape(-1, 5)
    middles = np.repeat(alone[:, :4].reshape(-1, 2, 2).mean(1)[:, None], 5, 1)
    width, height = label["size"]
    faces = Faces(boxes.reshape(-1, 4), landmarks.reshape(-1, 5, 2), scores)
    return Votes((width, height), faces, second, Faces(alone[:, :4], middles, alone[:, 4]))


def read_photo(path: Path) -> NDArray[np.uint8] | None:
    """Read a photo as uint8 (H, W, 3) RGB, reduced to a longer side of at most `LONGEST` pixels; None if unreadable."""
    content = np.fromfile(path, np.uint8)
    bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if len(content) else None
    if bgr is None:
        return None
    scale = LONGEST / max(bgr.shape[:2])
    if scale < 1:
        bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)


def save_votes(file: Path, votes: dict[str, Votes]) -> None:
    """Write votes to a compressed file: coordinates in quarters of a pixel, scores in 250ths.

    Args:
        file: the ``.npz`` file; replaced atomically.
        votes: by the photos' names.
    """
    every = list(votes.values())
    parts: dict[str, NDArray[np.generic]] = {
        "names": np.array(list(votes)),
        "sizes": np.array([v.size for v in every], np.int16).reshape(-1, 2),
        "second": np.round(np.concatenate([v.second for v in every]) * SCORE_STEPS).astype(np.uint8),
    }
    for name, faces in (("faces", [v.faces for v in every]), ("alone", [v.alone for v in every])):
        whole = Faces.merge(faces)
        parts[f"{name}_count"] = np.array([len(f) for f in faces], np.int16)
        parts[f"{name}_boxes"] = np.round(whole.boxes * PLACE_STEPS).astype(np.int16)
        parts[f"{name}_scores"] = np.round(whole.scores * SCORE_STEPS).astype(np.uint8)
        if name == "faces":
            parts["faces_landmarks"] = np.round(whole.landmarks * PLACE_STEPS).astype(np.int16)
    part = file.with_suffix(".part.npz")
    np.savez_compressed(part, **parts)  # type: ignore[arg-type]
    part.replace(file)


def load_votes(file: Path) -> dict[str, Votes]:
    """Read a file of `save_votes`."""
    with np.load(file) as kept:
        parts = {name: kept[name] for name in kept.files}
    ends, alone_ends = (np.cumsum(parts[f"{name}_count"].astype(int))[:-1] for name in ("faces", "alone"))
    boxes, alone_boxes = (parts[f"{name}_boxes"].astype(np.float32) / PLACE_STEPS for name in ("faces", "alone"))
    landmarks = parts["faces_landmarks"].astype(np.float32) / PLACE_STEPS
    scores, alone_scores, second = (
        parts[name].astype(np.float32) / SCORE_STEPS for name in ("faces_scores", "alone_scores", "second")
    )
    middles = np.repeat(alone_boxes.reshape(-1, 2, 2).mean(1)[:, None], 5, 1)
    faces = map(Faces, *(np.split(part, ends) for part in (boxes, landmarks, scores)))
    alone = map(Faces, *(np.split(part, alone_ends) for part in (alone_boxes, middles, alone_scores)))
    sizes = [(int(width), int(height)) for width, height in parts["sizes"]]
    seconds = np.split(second, ends)
    return dict(zip(parts["names"].tolist(), map(Votes, sizes, faces, seconds, alone), strict=True))


@cache
def no_faces() -> dict[str, NDArray[np.float32]]:
    """Boxes (n, 4) of reviewed false detections by photo name: animals, drawings, dolls, objects."""
    boxes: dict[str, list[list[float]]] = {}
    for line in NO_FACES.read_text().splitlines():
        name, _, box = line.partition("\t")
        boxes.setdefault(name, []).append([float(value) for value in box.split()])
    return {name: np.array(several, np.float32) for name, several in boxes.items()}


def without_no_faces(name: str, scene: Scene) -> Scene:
    """Remove the labels of reviewed false detections from photo REPOSITORY/PATH, so that they train as background."""
    overlap = pairwise_iou(scene.boxes, no_faces().get(name, np.zeros((0, 4), np.float32)))
    kept = overlap.max(1, initial=0) < LOOKED_AT
    return Scene(scene.image, scene.boxes[kept], scene.landmarks[kept], scene.scores[kept])


def voted_photos(folder: Path, file: Path = LABELS) -> Iterator[tuple[str, Scene]]:
    """Yield name and scene of the labelled photos below a folder. Missing photos, and those of another size, are left out."""
    for name, votes in load_votes(file).items():
        image = read_photo(folder / name) if (folder / name).is_file() else None
        if image is not None and image.shape[1::-1] == votes.size:
            yield name, without_no_faces(name.replace("+", "/", 1), votes.scene(image))


def origins(index: Path) -> dict[str, tuple[str, str]]:
    """Repository and path of each photo in an ``index.csv``, by file name."""
    with index.open(newline="") as file:
        return {row["file"]: (row["repository"], row["path"]) for row in csv.DictReader(file)}


def second_scenes(data: Path) -> Iterator[tuple[str, Scene]]:
    """Yield REPOSITORY/PATH and scene of the photos of ``DATA/scenes2`` that are not held out."""
    labels = json.loads((data / "scenes2" / "labels.json").read_text())
    origin = origins(data / "scenes2" / "index.csv")
    with tarfile.open(data / "scenes2" / "scenes.tar") as tar:
        for member in tar:
            name = Path(member.name).name
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None and name in labels and not held_out(*origin[name]):
                full = "/".join(origin[name])
                yield full, without_no_faces(full, votes_of(labels[name]).scene(decode(content.read())))
