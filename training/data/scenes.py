"""Labelled pictures for the detector: scene photos and frames of clips, and their split into training and dev."""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.label_frames import DEV_CLIPS

MIRROR = [1, 0, 2, 4, 3]
SURE = 0.5  # score from which on a label is a face
UNSURE = 0.3  # score given to doubtful faces, which are ignored
SHARED_PHOTOS = Path(__file__).with_name("shared_photos.txt")


@dataclass
class Scene:
    """One labelled image.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        boxes: float32 (N, 4), x1 y1 x2 y2 in pixels.
        landmarks: float32 (N, 5, 2) in pixels.
        scores: float32 (N,). A label with a score of at least `SURE` is a face; a lower one is an ignored region.
    """

    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    scores: NDArray[np.float32]


def _scene(image: NDArray[np.uint8], label: dict[str, list]) -> Scene:
    return Scene(
        image,
        np.array(label["boxes"], np.float32).reshape(-1, 4),
        np.array(label["landmarks"], np.float32).reshape(-1, 5, 2),
        np.array(label["scores"], np.float32),
    )


def decode(content: bytes) -> NDArray[np.uint8]:
    """Decode a picture file to uint8 (H, W, 3) RGB."""
    return np.ascontiguousarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1])


@cache
def shared_photos() -> frozenset[str]:
    """Names of photos that show a face of the training chips (written by `training.data.shared_photos`)."""
    return frozenset(SHARED_PHOTOS.read_text().split())


def dev_photo(name: str) -> bool:
    """Whether a scene photo is in the dev split: four in ten by the hash of the name, except those that show a training chip."""
    return zlib.crc32(name.encode()) % 10 < 4 and name not in shared_photos()


def load_train_photos(data: Path, labels: Path | None = None) -> list[Scene]:
    """The labelled scene photos of the training split; ``labels`` replaces the label file of ``DATA``."""
    return [scene for _, scene in photos(data, lambda name: not dev_photo(name), labels)]


def photos(data: Path, wanted: Callable[[str], bool], file: Path | None = None) -> Iterator[tuple[str, Scene]]:
    """Yield name and scene of the labelled photos for which ``wanted(name)``; ``file`` replaces the label file of ``DATA``."""
    labels = json.loads((file or data / "scenes" / "labels.json").read_text())
    with tarfile.open(data / "scenes" / "scenes.tar") as tar:
        for member in tar:
            name = Path(member.name).name
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None and name in labels and wanted(name):
                yield name, _scene(decode(content.read()), labels[name])


def load_frame(path: Path, label: dict[str, list]) -> Scene:
    """Read a picture file with its label."""
    return _scene(decode(path.read_bytes()), label)


def of_dev_clip(name: str) -> bool:
    """Whether a frame CLIP-NNNN.jpg belongs to a dev clip."""
    return name.rsplit("-", 1)[0] in DEV_CLIPS


def load_frames(folder: Path, dev: bool, file: Path | None = None) -> list[Scene]:
    """Read the frames of `training.data.label_frames`, either of the dev clips or of the training clips; ``file`` replaces the
    label file."""
    labels = json.loads((file or folder / "labels.json").read_text())
    return [load_frame(folder / name, label) for name, label in sorted(labels.items()) if of_dev_clip(name) == dev]


def mirror(scene: Scene) -> Scene:
    """Mirror a scene and swap left and right landmarks. The coordinate origin is the edge of the first pixel, not its centre."""
    width = scene.image.shape[1]
    boxes = scene.boxes[:, [2, 1, 0, 3]] * (-1, 1, -1, 1) + (width, 0, width, 0)
    landmarks = scene.landmarks[:, MIRROR] * (-1, 1) + (width, 0)
    image = np.ascontiguousarray(scene.image[:, ::-1])
    return Scene(image, boxes.astype(np.float32), landmarks.astype(np.float32), scene.scores)
