"""Find the faces of a photo, its upright rotation, and which face it is meant to show."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import alignment_error, warp_chip
from models.faces import Faces, pairwise_intersection

SEARCH_SIZES = (320, 640, 1280)  # long sides a photo is searched at, so that no face is too large or too small
ROTATION_SEARCH_SIZE = 640  # that tells which way up a photo is, unless no face is found at it
MIN_SCORE = 0.5
MAX_FACES = 16  # of one way up that are embedded; crowds are several people anyway
# All below is measured by `python -m evaluation.enrolment`.
CLEARLY_UPRIGHT = 0.9, 0.65  # score and quality of a face that is upright beyond doubt: no wrong way up has both
CLOSE_UP_WIDTH = 0.1  # of the photo's longer side: a face as wide is no worse for being narrower than others
KEEP_ROTATION_RATIO = 0.95  # share of the surest other way up from which on a photo stays as it is
ROTATE_RATIO = 1.15  # times as sure as it is given another way up must be to be taken
SECOND_PERSON_RATIO = 0.57  # of the strength of the strongest face from which on a face is a second person


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
        return np.asarray(self.faces.boxes[:, 2] - self.faces.boxes[:, 0])

    def upright_confidence(self) -> float:
        """How sure it is that the photo is upright like this, 0..1."""
        if not len(self):
            return 0.0
        near = np.minimum(1.0, self.widths / (CLOSE_UP_WIDTH * max(self.photo.shape[:2])))
        return float((self.faces.scores * self.quality.clip(0) * np.sqrt(near)).max())

    def subjects(self) -> list[int]:
        """Rows of the faces that may be whom the photo is meant to show, the strongest first: others that are much smaller or
        much less sure are background, or no faces at all."""
        strength = self.faces.scores * np.sqrt(self.quality.clip(0.05) * self.widths)
        order = np.argsort(-strength, kind="stable")
        return [int(row) for row in order if strength[row] >= SECOND_PERSON_RATIO * strength[order[0]]]


def analyse_photo(detector: Detector, recognizer: Recognizer, photo: NDArray[np.uint8]) -> PhotoFaces:
    """Find the faces of a photo (H, W, 3), which may lie on its side or stand on its head."""
    given = _embed_faces(recognizer, photo, 0, find_faces(detector, photo))
    score, quality = CLEARLY_UPRIGHT
    if ((given.faces.scores >= score) & (given.quality >= quality) & (given.quality < 1)).any():  # 1: nothing is known of it
        return given
    for most in (ROTATION_SEARCH_SIZE, max(SEARCH_SIZES)):
        ways = [given]
        for turns in (1, 2, 3):
            turned = np.ascontiguousarray(np.rot90(photo, turns))
            ways.append(_embed_faces(recognizer, turned, turns, find_faces(detector, turned, most)))
        if any(len(way) for way in ways) or max(photo.shape[:2]) <= most:
            break
    sure = [way.upright_confidence() for way in ways]
    best = max(range(4), key=sure.__getitem__)
    if best == 0 or sure[0] >= KEEP_ROTATION_RATIO * sure[best]:
        return given
    chosen = ways[best]
    if max(photo.shape[:2]) > most:  # there are sizes it was not searched at
        chosen = _embed_faces(recognizer, chosen.photo, best, find_faces(detector, chosen.photo))
    return replace(chosen, rotation_ambiguous=sure[best] < ROTATE_RATIO * sure[0])


def find_faces(detector: Detector, photo: NDArray[np.uint8], most: int = max(SEARCH_SIZES)) -> Faces:
    """Faces of a photo of any size, searched at several scales, of long sides up to ``most`` pixels."""
    longest = max(photo.shape[:2])
    parts = []
    for size in (size for size in SEARCH_SIZES if size <= most):
        scale = min(1.0, size / longest)
        height, width = (max(1, round(n * scale)) for n in photo.shape[:2])
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8) if scale < 1 else photo
        # A frame around it: a face that fills the photo would else touch the border.
        pad = size // 8
        framed = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127)).astype(np.uint8)
        parts.append(detector.detect([framed])[0].scaled(1.0, -pad, -pad).scaled(1 / scale))
        if scale == 1.0:
            break
    faces = Faces.merge(parts).with_nms(0.3)
    faces = faces[faces.scores >= MIN_SCORE]
    # At a smaller scale a mouth or an eye may pass for a face: what lies within a surer face is part of it.
    own = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(1)
    inside = pairwise_intersection(faces.boxes, faces.boxes) > 0.6 * own[:, None]
    surer = faces.scores[None, :] > faces.scores[:, None]
    return faces[~(inside & surer).any(1)]


def _embed_faces(recognizer: Recognizer, photo: NDArray[np.uint8], turns: int, faces: Faces) -> PhotoFaces:
    """The widest faces with what the recogniser makes of them; those whose landmarks are no face's are left out."""
    faces = faces[np.argsort(-(faces.boxes[:, 2] - faces.boxes[:, 0]), kind="stable")]
    kept: list[int] = []
    chips: list[NDArray[np.uint8]] = []
    errors: list[float] = []
    for row, landmarks in enumerate(faces.landmarks):
        if len(kept) == MAX_FACES:
            break
        try:
            chips.append(warp_chip(photo, landmarks))
        except ValueError:
            continue
        kept.append(row)
        errors.append(alignment_error(landmarks))
    vectors, quality = np.zeros((len(kept), 1), np.float32), np.zeros(len(kept), np.float32)
    for side in {chip.shape[0] for chip in chips}:
        rows = [row for row, chip in enumerate(chips) if chip.shape[0] == side]
        made, trust = recognizer.embed_with_quality(np.stack([chips[row] for row in rows]))
        if vectors.shape[1] != made.shape[1]:
            vectors = np.zeros((len(kept), made.shape[1]), np.float32)
        vectors[rows], quality[rows] = made, trust
    return PhotoFaces(photo, turns, faces[np.array(kept, np.intp)], chips, vectors, quality, np.array(errors, np.float32))
