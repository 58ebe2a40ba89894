"""The enrolment gate: a photo becomes a template, or is refused with a reason."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP, sharpness_of, template_fit, warp_chip
from models.faces import Faces, pairwise_overlap
from watchlist.gallery import Gallery
from watchlist.people import Enrolment
from watchlist.photos import Entry, PhotoError, read_photo, shown
from watchlist.store import Store
from watchlist.thresholds import Thresholds

SIZES = (320, 640, 1280)  # long sides a photo is searched at, so that no face is too large or too small
LEAST_SCORE = 0.5
LEAST_FACE_PX = 24.0
LEAST_SHARPNESS = 4.0
WORST_FIT = 0.25
LEAST_QUALITY = 0.15
DOUBTFUL = 0.75  # of the best score: what is less sure is not counted as a second person
BYSTANDER = 0.3  # a face narrower than this share of the largest is background, not a second person
AT_ONCE = 64  # chips embedded together
LOOKS_LIKE_FPIR = 1e-3  # how seldom a stranger's photo may be taken for that of somebody on the list
LEAST_LIKENESS = 0.1  # cosine between photos of one person


class Detector(Protocol):
    def detect(self, frames: list[NDArray[np.uint8]]) -> list[Faces]: ...


class Recognizer(Protocol):
    digest: str

    def embed_with_quality(self, chips: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...


@dataclass(frozen=True)
class Verdict:
    """What became of one photo: ``reason`` is "" when it was enrolled. ``chip`` (r, r, 3), ``vector`` float32 (D,)."""

    name: str
    photo: str
    reason: str
    face_px: float = 0.0
    quality: float = 0.0
    chip: NDArray[np.uint8] | None = None
    vector: NDArray[np.float32] | None = None


class Gate:
    """Judges photos. Reasons: unreadable, no_face, several_faces, too_small, blurred, extreme_pose, low_quality,
    unlike_other_photos, looks_like (somebody else on the list; asked only with ``thresholds``)."""

    def __init__(self, detector: Detector, recognizer: Recognizer, thresholds: Thresholds | None = None) -> None:
        self._detector, self._recognizer, self._thresholds = detector, recognizer, thresholds

    def judge(self, name: str, path: Path) -> Verdict:
        """Find the one face of a photo and embed it, or say why not."""
        photo_name = shown(path.name)
        try:
            photo = read_photo(path)
        except PhotoError as error:
            return Verdict(name, photo_name, f"unreadable: {error}")
        faces = find_faces(self._detector, photo)
        widths = faces.boxes[:, 2] - faces.boxes[:, 0]
        if not len(faces):
            return Verdict(name, photo_name, "no_face")
        large = np.flatnonzero((widths >= BYSTANDER * widths.max()) & (faces.scores >= DOUBTFUL * faces.scores.max()))
        if len(large) > 1:
            return Verdict(name, photo_name, f"several_faces: {len(large)}, crop the photo to one")
        row = int(large[0]) if len(large) else 0
        width = float(widths[row])
        if width < LEAST_FACE_PX:
            return Verdict(
                name, photo_name, f"too_small: the face is {width:.0f} pixels wide, {LEAST_FACE_PX:.0f} are needed", width
            )
        landmarks = faces.landmarks[row]
        if template_fit(landmarks) > WORST_FIT:
            return Verdict(name, photo_name, "extreme_pose", width)
        chip = warp_chip(photo, landmarks)
        sharpness = sharpness_of(chip)
        if sharpness < LEAST_SHARPNESS:
            return Verdict(name, photo_name, "blurred", width)
        vectors, quality = self._recognizer.embed_with_quality(chip[None])
        if quality[0] < LEAST_QUALITY:
            return Verdict(name, photo_name, f"low_quality: {quality[0]:.2f}", width, float(quality[0]))
        return Verdict(name, photo_name, "", width, float(quality[0]), chip, vectors[0])

    def against_list(self, name: str, judged: list[Verdict], own: list[Enrolment], gallery: Gallery) -> list[Verdict]:
        """The same verdicts about one person's photos, after a look at their enrolled photos and at who else is on the list."""
        out = []
        for verdict in _without_strangers(judged, [e.vector for e in own]):
            other = None if verdict.vector is None else gallery.nearest_other(verdict.vector, name)
            if self._thresholds is not None and other is not None:
                limit = self._thresholds.cosine(LOOKS_LIKE_FPIR, len(gallery), verdict.face_px)
                if other.score >= limit:
                    reason = f"looks_like: {other.name}, cosine {other.score:.2f}"
                    verdict = Verdict(name, verdict.photo, reason, verdict.face_px, verdict.quality)
            out.append(verdict)
        return out


def find_faces(detector: Detector, photo: NDArray[np.uint8]) -> Faces:
    """Faces of a photo of any size, searched at several scales."""
    longest = max(photo.shape[:2])
    parts = []
    for size in SIZES:
        scale = min(1.0, size / longest)
        height, width = (max(1, round(n * scale)) for n in photo.shape[:2])
        small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8) if scale < 1 else photo
        # A frame around it: a face that fills the photo would else touch the border.
        pad = size // 8
        framed = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127)).astype(np.uint8)
        parts.append(detector.detect([framed])[0].scaled(1.0, -pad, -pad).scaled(1 / scale))
        if scale == 1.0:
            break
    faces = Faces.join(parts).suppressed(0.3)
    faces = faces[faces.scores >= LEAST_SCORE]
    # At a smaller scale a mouth or an eye may pass for a face: what lies within a surer face is part of it.
    own = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(1)
    inside = pairwise_overlap(faces.boxes, faces.boxes) > 0.6 * own[:, None]
    surer = faces.scores[None, :] > faces.scores[:, None]
    return faces[~(inside & surer).any(1)]


def enrol(
    store: Store, gate: Gate, entries: Iterable[Entry], digest: str, told: Callable[[Verdict], None] = lambda verdict: None
) -> list[Verdict]:
    """Judge photos and keep the good ones; one transaction a person, so nobody is half enrolled.

    Raises StoreError if the list was enrolled with another recogniser than ``digest``.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    verdicts: list[Verdict] = []
    gallery = Gallery(store, digest)
    for name, photos in by_name.items():
        judged = [gate.judge(name, entry.photo) for entry in photos]
        known = store.identity_of(name)
        gallery.update()
        judged = gate.against_list(name, judged, [] if known is None else store.enrolments(known), gallery)
        with store.transaction():
            good = [(v, e) for v, e in zip(judged, photos, strict=True) if v.chip is not None and v.vector is not None]
            if good:
                details = {k: x for _, e in good for k, x in e.details.items()}
                identity = store.add_identity(name, **details)
                for verdict, entry in good:
                    assert verdict.chip is not None and verdict.vector is not None
                    sha256 = hashlib.sha256(entry.photo.read_bytes()).hexdigest()
                    store.add_enrolment(
                        identity,
                        shown(entry.photo),
                        sha256,
                        png(verdict.chip),
                        verdict.vector,
                        digest,
                        verdict.quality,
                        verdict.face_px,
                    )
            store.note("enrol", name=name, photos={v.photo: v.reason or "enrolled" for v in judged})
        for verdict in judged:
            told(verdict)
        verdicts.extend(judged)
    return verdicts


def _without_strangers(judged: list[Verdict], own: list[NDArray[np.float32]]) -> list[Verdict]:
    """Of three photos or more, with those enrolled before, refuse one that is unlike all the person's others."""
    good = [v for v in judged if v.vector is not None]
    if len(good) + len(own) < 3 or not good:
        return judged
    vectors = np.stack([*(v.vector for v in good if v.vector is not None), *own])
    likeness = vectors @ vectors.T - 2 * np.eye(len(vectors), dtype=np.float32)
    strange = {id(v) for v, best in zip(good, likeness.max(1), strict=False) if best < LEAST_LIKENESS}
    return [Verdict(v.name, v.photo, "unlike_other_photos", v.face_px, v.quality) if id(v) in strange else v for v in judged]


def reembed(store: Store, recognizer: Recognizer, told: Callable[[int], None] = lambda done: None) -> int:
    """Make all vectors anew from the kept chips with another recogniser: all of them, or none. Returns how many."""
    kept = store.chips()
    vectors: dict[int, tuple[NDArray[np.float32], float]] = {}
    for start in range(0, len(kept), AT_ONCE):
        part = kept[start : start + AT_ONCE]
        made, quality = recognizer.embed_with_quality(np.stack([unpng(chip) for _, chip in part]))
        vectors |= {row: (vector, float(q)) for (row, _), vector, q in zip(part, made, quality, strict=True)}
        told(len(vectors))
    store.put_vectors(vectors, recognizer.digest)
    store.note("reembed", photos=len(kept), recognizer=recognizer.digest)
    return len(kept)


def unpng(code: bytes) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of a PNG."""
    pixels = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError("a kept chip is not a PNG")
    return np.ascontiguousarray(pixels[..., ::-1]).astype(np.uint8)


def png(chip: NDArray[np.uint8]) -> bytes:
    """A chip as PNG, enlarged to 128 pixels if it is smaller."""
    if chip.shape[0] != CHIP:
        chip = cv2.resize(chip, (CHIP, CHIP), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    return bytes(cv2.imencode(".png", np.ascontiguousarray(chip[..., ::-1]))[1].tobytes())
