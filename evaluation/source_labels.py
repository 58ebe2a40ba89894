"""The detector's dev set of held-out sources: images and labels.

``detection_sources.txt`` has a line for each picture (use, source, path, width, height, part, separated by tabs), followed by one
for each face in it (kind, box, landmarks). Uses: ``faces`` to measure recall, ``empty`` without any face, ``single`` of one
person. Kinds: ``face``, ``profile`` (turned so far that the nose leaves the span of the eyes), ``hidden`` (half of it behind a
mask, a hand, a phone) and ``ignore``, which counts neither way: a face too small, blurred, cut or drawn.

Three detectors voted: SCRFD-2.5GF on the image and on overlapping tiles at 2x, YuNet and CenterFace on the image at both
sizes. Two votes make a face, one vote an ignored region. ``detection_sources_eye.txt`` holds corrections by eye: a line has the
path, the kind (``none`` for no face) and the box, and replaces the labels it overlaps. All face-free images were checked by
eye. So were the highest-scoring false positives of three detectors, clean and degraded, at all sizes: 420 of ours, 230 of
YuNet and 230 of SCRFD-0.5GF. Faces that the voters missed were added; heads from behind and unclear cases are ignored. The 360
faces that one of the three missed in the clean, full-size image, and 197 profiles that none missed, were also checked by eye.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from models.faces import pairwise_iou
from training.data.scenes import Scene
from training.detector.scene_maker import UNSURE

LABELS = Path(__file__).with_name("detection_sources.txt")
CORRECTIONS = Path(__file__).with_name("detection_sources_eye.txt")
KINDS = "face", "profile", "hidden", "ignore"
CLIPS = "clips"  # source of frames: path is CLIP-FRAME
SAME_FACE_IOU = 0.5  # a correction replaces labels with at least this IoU


@dataclass
class Picture:
    """A labelled picture of the dev set.

    Attributes:
        use: ``faces``, ``empty`` or ``single``.
        source: a GitHub repository, or ``clips``.
        path: path in the repository, or CLIP-FRAME.
        size: (width, height) the picture is reduced to.
        part: x1 y1 x2 y2 of the part that is used; empty: all of it.
        kinds: N names of `KINDS`.
        boxes: N boxes x1 y1 x2 y2 in pixels of the part.
        landmarks: N times ten coordinates, NaN where unknown.
    """

    use: str
    source: str
    path: str
    size: tuple[int, int]
    part: tuple[int, ...]
    kinds: list[str] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    landmarks: list[list[float]] = field(default_factory=list)

    def scene(self, image: NDArray[np.uint8]) -> Scene:
        """The labels with the pixels (H, W, 3); faces have a score of 1, ignored regions of `UNSURE`."""
        scores = [UNSURE if kind == "ignore" else 1.0 for kind in self.kinds]
        boxes = np.array(self.boxes, np.float32).reshape(-1, 4)
        return Scene(image, boxes, np.array(self.landmarks, np.float32).reshape(-1, 5, 2), np.array(scores, np.float32))

    def correct(self, kind: str, box: list[float]) -> None:
        """Replace the labels that ``box`` overlaps; a face that was labelled keeps its box and landmarks."""
        overlap = pairwise_iou(np.array([box], np.float32), np.array(self.boxes, np.float32).reshape(-1, 4))[0]
        same = np.flatnonzero(overlap >= SAME_FACE_IOU)
        landmarks = [float("nan")] * 10
        if len(same) and kind != "none":
            best = int(same[np.argmax(overlap[same])])
            box, landmarks = self.boxes[best], self.landmarks[best]
        keep = [i for i in range(len(self.boxes)) if i not in same]
        self.kinds, self.boxes, self.landmarks = ([part[i] for i in keep] for part in (self.kinds, self.boxes, self.landmarks))
        if kind != "none":
            self.kinds.append(kind)
            self.boxes.append(box)
            self.landmarks.append(landmarks)


def load_pictures(labels: Path = LABELS, corrections: Path = CORRECTIONS) -> list[Picture]:
    """Read all pictures with their corrected labels. Raises ValueError for a malformed line."""
    pictures: list[Picture] = []
    for number, line in enumerate(labels.read_text().splitlines(), 1):
        words = line.split("\t")
        if len(words) == 6:
            use, source, path, width, height, part = words
            pictures.append(Picture(use, source, path, (int(width), int(height)), tuple(map(int, part.split()))))
        elif len(words) == 3 and words[0] in KINDS and pictures:
            pictures[-1].kinds.append(words[0])
            pictures[-1].boxes.append([float(value) for value in words[1].split()])
            pictures[-1].landmarks.append([float(value) for value in words[2].split()] or [float("nan")] * 10)
        else:
            raise ValueError(f"{labels}:{number}: neither a picture (6 columns) nor a face (3 columns)")
    for_faces = {picture.path: picture for picture in pictures if picture.use == "faces"}
    for number, line in enumerate(corrections.read_text().splitlines(), 1):
        path, kind, text = line.split("\t")
        if path not in for_faces or kind not in (*KINDS, "none"):
            raise ValueError(f"{corrections}:{number}: no such picture, or a kind other than {', '.join(KINDS)}, none")
        for_faces[path].correct(kind, [float(value) for value in text.split()])
    return pictures


def photo_path(picture: Picture, photos: Path) -> Path:
    """The file of a photo: PHOTOS/OWNER+NAME/path."""
    return photos / picture.source.replace("/", "+") / picture.path


def read_pictures(pictures: list[Picture], photos: Path, clips: Path) -> Iterator[tuple[Picture, NDArray[np.uint8] | None]]:
    """Yield each picture with its pixels uint8 (H, W, 3) RGB; None if the file is missing, broken or of another size."""
    frames: dict[str, list[Picture]] = {}
    for picture in pictures:
        if picture.source == CLIPS:
            frames.setdefault(picture.path.rsplit("-", 1)[0], []).append(picture)
            continue
        file = photo_path(picture, photos)
        yield picture, _part(cv2.imread(str(file), cv2.IMREAD_COLOR) if file.is_file() else None, picture)
    for clip, wanted in frames.items():
        yield from _of_clip(clips / f"{clip}.mp4", {int(p.path.rsplit("-", 1)[1]): p for p in wanted})


def _of_clip(path: Path, wanted: dict[int, Picture]) -> Iterator[tuple[Picture, NDArray[np.uint8] | None]]:
    missing = dict(wanted)
    if path.is_file():
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index in missing:
                    picture = missing.pop(index)
                    yield picture, _part(frame.to_ndarray(format="bgr24"), picture)
                if not missing:
                    break
    for picture in missing.values():
        yield picture, None


def _part(image: NDArray[np.uint8] | None, picture: Picture) -> NDArray[np.uint8] | None:
    """The used part of a picture (H, W, 3) BGR, as RGB."""
    if image is None:
        return None
    height, width = image.shape[:2]
    shrink = picture.size[0] / width
    if shrink > 1 or abs(height * shrink - picture.size[1]) > 1:
        return None
    if (width, height) != picture.size:
        image = cv2.resize(image, picture.size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    x1, y1, x2, y2 = picture.part or (0, 0, *picture.size)
    return np.ascontiguousarray(image[y1:y2, x1:x2, ::-1])
