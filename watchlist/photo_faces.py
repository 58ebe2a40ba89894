"""Find the faces of a photo, its upright rotation, and which face it is meant to show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import alignment_error, warp_chip
from models.faces import Faces, pairwise_intersection

SEARCH_SIZES = (320, 640, 1280)  # long sides in pixels at which a photo is searched, for faces of all sizes
ROTATION_SEARCH_SIZE = 640  # long side at which the four rotations are compared, unless no face is found at it
MIN_SCORE = 0.5
MAX_FACES = 16  # faces embedded for each rotation; a crowd is refused anyway
# The values below are measured by `python -m evaluation.enrolment`.
CLEARLY_UPRIGHT = 0.9, 0.65  # score and quality that no face of a wrongly rotated photo reaches together
CLOSE_UP_WIDTH = 0.1  # share of the photo's longer side; a wider face does not count as more confident
KEEP_ROTATION_RATIO = 0.95  # a photo stays as it is from this share of the best rotation's confidence on
ROTATE_RATIO = 1.15  # another rotation must be this many times as confident, else the rotation is ambiguous
SECOND_PERSON_RATIO = 0.57  # a face of at least this share of the strongest face's strength is a second person


class Detector(Protocol):
    def detect(self, frames: list[NDArray[np.uint8]]) -> list[Faces]: ...


class Recognizer(Protocol):
    digest: str

    def embed_with_quality(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


@dataclass(frozen=True)
class PhotoFaces:
    """Faces of a photo, the widest first. Users number them in this order, from 1 on.

    Attributes:
        photo: RGB uint8 (H, W, 3), turned upright.
        turns: quarter turns counter-clockwise that made it upright, 0 to 3.
        faces: boxes, landmarks and scores in pixels of ``photo``.
        chips: one uint8 (r, r, 3) for each face.
        vectors: embeddings, float32 (N, D).
        quality: the recogniser's quality estimate, float32 (N,), 0 to 1.
        alignment_error: residual of the landmarks to the chip template, float32 (N,); high for profiles.
        rotation_ambiguous: another rotation is nearly as likely.
    """

    photo: NDArray[np.uint8]
    turns: int
    faces: Faces
    chips: list[NDArray[np.uint8]]
    vectors: NDArray[np.float32]
    quality: NDArray[np.float32]
    alignment_error: NDArray[np.float32]
    rotation_ambiguous: bool = False

    def __len__(self) -> int:
        return len(self.faces)

    @property
    def widths(self) -> NDArray[np.float32]:
        """Face widths float32 (N,) in pixels of ``photo``."""
        return np.asarray(self.faces.boxes[:, 2] - self.faces.boxes[:, 0])

    def upright_confidence(self) -> float:
        """Confidence that the photo is upright, 0 to 1: the best product of score, quality and a term for width."""
        if not len(self):
            return 0.0
        near = np.minimum(1.0, self.widths / (CLOSE_UP_WIDTH * max(self.photo.shape[:2])))
        return float((self.faces.scores * self.quality.clip(0) * np.sqrt(near)).max())

    def subjects(self) -> list[int]:
        """Rows of the faces that the photo may be meant to show, strongest first.

        Faces that are much smaller or have a much lower score are background or false detections. Strength is the score times
        the square root of quality times width.
        """
        strength = self.faces.scores * np.sqrt(self.quality.clip(0.05) * self.widths)
        order = np.argsort(-strength, kind="stable")
        return [int(row) for row in order if strength[row] >= SECOND_PERSON_RATIO * strength[order[0]]]


def analyse_photo(detector: Detector, recognizer: Recognizer, photo: NDArray[np.uint8]) -> PhotoFaces:
    """Find and embed the faces of a photo, and turn it upright.

    Cameras and scanners write photos rotated by 90, 180 or 270 degrees without an EXIF tag. The rotation with the most confident
    face wins.

    Args:
        detector: as `models.load_detector` returns it.
        recognizer: as `models.load_recognizer` returns it.
        photo: RGB uint8 (H, W, 3).
    """
    as_given = _embed_faces(recognizer, photo, 0, find_faces(detector, photo))
    score, quality = CLEARLY_UPRIGHT
    known = as_given.quality < 1  # 1: the recogniser has no estimate
    if ((as_given.faces.scores >= score) & (as_given.quality >= quality) & known).any():
        return as_given
    for most in (ROTATION_SEARCH_SIZE, max(SEARCH_SIZES)):
        rotations = [as_given]
        for turns in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(photo, turns))
            rotations.append(_embed_faces(recognizer, turned, turns, find_faces(detector, turned, most)))
        if any(len(rotation) for rotation in rotations) or max(photo.shape[:2]) <= most:
            break
    confidence = [rotation.upright_confidence() for rotation in rotations]
    best = max(range(4), key=confidence.__getitem__)
    if best == 0 or confidence[0] >= KEEP_ROTATION_RATIO * confidence[best]:
        return as_given
    chosen = rotations[best]
    if max(photo.shape[:2]) > most:  # search the larger sizes as well
        chosen = _embed_faces(recognizer, chosen.photo, best, find_faces(detector, chosen.photo))
    return replace(chosen, rotation_ambiguous=confidence[best] < ROTATE_RATIO * confidence[0])


def find_faces(detector: Detector, photo: NDArray[np.uint8], most: int = max(SEARCH_SIZES)) -> Faces:
    """Detect the faces of a photo of any size, at several scales.

    Args:
        detector: as `models.load_detector` returns it.
        photo: RGB uint8 (H, W, 3).
        most: longest side in pixels of the largest scale. Raising it finds smaller faces and takes longer.
    """
    longest = max(photo.shape[:2])
    parts = []
    for size in (size for size in SEARCH_SIZES if size <= most):
        scale = min(1.0, size / longest)
        height, width = (max(1, round(n * scale)) for n in photo.shape[:2])
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8) if scale < 1 else photo
        # A border, because a face that fills the photo is found less well at its edge.
        pad = size // 8
        framed = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127)).astype(np.uint8)
        parts.append(detector.detect([framed])[0].scaled(1.0, -pad, -pad).scaled(1 / scale))
        if scale == 1.0:
            break
    faces = Faces.merge(parts).with_nms(0.3)
    faces = faces[faces.scores >= MIN_SCORE]
    # A detection inside a face with a higher score is a part of it, such as a mouth or an eye.
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(1)
    inside = pairwise_intersection(faces.boxes, faces.boxes) > 0.6 * areas[:, None]
    higher = faces.scores[None, :] > faces.scores[:, None]
    return faces[~(inside & higher).any(1)]


def _embed_faces(recognizer: Recognizer, photo: NDArray[np.uint8], turns: int, faces: Faces) -> PhotoFaces:
    """Embed the `MAX_FACES` widest faces. Faces whose landmarks cannot be aligned are left out."""
    faces = faces[np.argsort(-(faces.boxes[:, 2] - faces.boxes[:, 0]), kind="stable")]
    aligned: list[int] = []
    chips: list[NDArray[np.uint8]] = []
    errors: list[float] = []
    for row, landmarks in enumerate(faces.landmarks):
        if len(aligned) == MAX_FACES:
            break
        try:
            chips.append(warp_chip(photo, landmarks))
        except ValueError:
            continue
        aligned.append(row)
        errors.append(alignment_error(landmarks))
    vectors, quality = np.zeros((len(aligned), 1), np.float32), np.zeros(len(aligned), np.float32)
    for side in {chip.shape[0] for chip in chips}:
        rows = [row for row, chip in enumerate(chips) if chip.shape[0] == side]
        embeddings, qualities = recognizer.embed_with_quality(np.stack([chips[row] for row in rows]))
        if vectors.shape[1] != embeddings.shape[1]:
            vectors = np.zeros((len(aligned), embeddings.shape[1]), np.float32)
        vectors[rows], quality[rows] = embeddings, qualities
    return PhotoFaces(photo, turns, faces[np.array(aligned, np.intp)], chips, vectors, quality, np.array(errors, np.float32))
