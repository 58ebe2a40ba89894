"""The enrolment gate: accepts a photo, or refuses it with a reason."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.chip import sharpness_of
from watchlist.gallery import Gallery
from watchlist.names import display_path
from watchlist.people import Enrolment
from watchlist.photo_faces import Detector, PhotoFaces, Recognizer, analyse_photo
from watchlist.photos import PhotoError, read_photo_with_digest
from watchlist.preview import write_preview
from watchlist.thresholds import Thresholds

MIN_FACE_PX = 24.0
MIN_SHARPNESS = 4.0  # standard deviation of the chip's Laplacian
MAX_ALIGNMENT_ERROR = 0.25  # residual of the landmarks to the chip template; profiles have a high one
MIN_CONFIDENCE = 0.3  # score times quality: of 100 photos without a face 10 pass it, of 1,000 with one 994 (evaluation.enrolment)
LOOKALIKE_FPIR = 1e-3  # rate at which a stranger's photo may be taken for that of somebody on the list
MIN_SAME_PERSON_COSINE = 0.1  # cosine between photos of one person


@dataclass(frozen=True)
class Verdict:
    """The gate's decision about one photo.

    Attributes:
        name: of the person.
        photo: file name.
        reason: why the photo was refused; "" if it was enrolled.
        face_px: face width in pixels of the photo; 0 if no face was chosen.
        quality: the recogniser's quality estimate, 0 to 1.
        chip: uint8 (r, r, 3); None if refused.
        vector: embedding float32 (D,), unit length; None if refused.
        identity: id of the person; None if the person is not on the list.
        external_id: as given with the photo.
        sha256: of the file, as hexadecimal digits.
        turns: quarter turns counter-clockwise that made the photo upright.
        preview: picture of the photo with numbered faces, if one has to be chosen.
    """

    name: str
    photo: str
    reason: str
    face_px: float = 0.0
    quality: float = 0.0
    chip: NDArray[np.uint8] | None = None
    vector: NDArray[np.float32] | None = None
    identity: int | None = None
    external_id: str | None = None
    sha256: str = ""
    turns: int = 0
    preview: Path | None = None

    @property
    def who(self) -> str:
        """The name, with the external id if there is one."""
        return f"{self.name} ({self.external_id})" if self.external_id else self.name

    def refused(self, reason: str) -> Verdict:
        """The same photo, refused."""
        return replace(self, reason=reason, chip=None, vector=None)


class Gate:
    """Accepts or refuses photos.

    Reasons for a refusal: unreadable, no_face, no_such_face, several_faces, not_upright, too_small, blurred, extreme_pose,
    low_quality, unlike_other_photos, looks_like (somebody else on the list), ambiguous_name.

    Args:
        detector: as `models.load_detector` returns it.
        recognizer: as `models.load_recognizer` returns it.
        thresholds: of the recogniser, for the check ``looks_like``; None: no such check.
        previews: folder for pictures with numbered faces of photos that show several people; None: no such pictures.
        judge: the project's own recogniser, if ``recognizer`` has no quality estimate.
    """

    def __init__(
        self,
        detector: Detector,
        recognizer: Recognizer,
        thresholds: Thresholds | None = None,
        previews: Path | None = None,
        judge: Recognizer | None = None,
    ) -> None:
        self._detector, self._recognizer, self._thresholds, self._previews = detector, recognizer, thresholds, previews
        self._judge = judge

    def judge(self, name: str, path: Path, face: int | None = None) -> Verdict:
        """Find and embed the face of a photo.

        Args:
            name: of the person.
            path: the photo.
            face: which face to take if it shows several, 1 for the widest; None: refuse a photo of several people.

        Returns:
            The verdict, with chip and embedding or with a reason.
        """
        verdict = Verdict(name, display_path(path.name), "")
        try:
            photo, sha256 = read_photo_with_digest(path)
        except PhotoError as error:
            return verdict.refused(f"unreadable: {display_path(str(error))}")
        faces = self.analyse(photo)
        verdict = replace(verdict, sha256=sha256, turns=faces.turns)
        if not len(faces):
            return verdict.refused("no_face")
        people = faces.subjects()
        if face is not None and not 1 <= face <= len(faces):
            return self._with_preview(verdict, faces, f"no_such_face: {face}, the photo shows {len(faces)}")
        if face is None and len(people) > 1:
            return self._with_preview(verdict, faces, f"several_faces: {len(people)}, crop the photo or choose one by number")
        row = people[0] if face is None else face - 1
        verdict = replace(verdict, face_px=float(faces.widths[row]), quality=float(faces.quality[row]))
        if fault := face_fault(faces, row):
            return verdict.refused(fault)
        if face is not None and self._previews is not None:
            with contextlib.suppress(OSError):
                (self._previews / f"{_preview_name(verdict)}.jpg").unlink()
        vector, quality = self.embed(faces, row)
        verdict = replace(verdict, quality=quality)
        if self._judge is not None and not quality:
            return verdict.refused("low_quality: the recogniser gives no embedding for it")
        return replace(verdict, chip=faces.chips[row], vector=vector)

    def analyse(self, photo: NDArray[np.uint8]) -> PhotoFaces:
        """Find the faces of a photo, uint8 (H, W, 3) RGB."""
        return analyse_photo(self._detector, self._judge or self._recognizer, photo)

    def embed(self, faces: PhotoFaces, row: int) -> tuple[NDArray[np.float32], float]:
        """The embedding float32 (D,) of one face by the list's recogniser, and its quality, 0 to 1."""
        if self._judge is None:
            return faces.vectors[row], float(faces.quality[row])
        vectors, qualities = self._recognizer.embed_with_quality(faces.chips[row][None])
        return vectors[0], float(qualities[0])

    def _with_preview(self, verdict: Verdict, faces: PhotoFaces, reason: str) -> Verdict:
        verdict = verdict.refused(reason)
        if self._previews is None:
            return verdict
        preview = write_preview(faces, self._previews, _preview_name(verdict))
        return replace(verdict, preview=preview, reason=reason if preview is None else f"{reason}, see {display_path(preview)}")

    def check_against_list(
        self, judged: list[Verdict], known: int | None, own: list[Enrolment], gallery: Gallery
    ) -> list[Verdict]:
        """Compare one person's photos with the person's enrolled photos and with everybody else on the list.

        Args:
            judged: verdicts about the new photos.
            known: id of the person; None if new.
            own: the person's enrolled photos.
            gallery: everybody on the list.

        Returns:
            The verdicts, with refusals ``unlike_other_photos`` and ``looks_like``.
        """
        out = []
        for verdict in _refuse_outliers(judged, [e.vector for e in own]):
            other = None if verdict.vector is None else gallery.nearest_other(verdict.vector, known)
            if self._thresholds is not None and other is not None:
                limit = self._thresholds.cosine(LOOKALIKE_FPIR, gallery.list_size, verdict.face_px)
                if other.score >= limit:
                    who = other.name if other.name != verdict.name else f"{other.name} (ID {other.identity})"
                    verdict = verdict.refused(f"looks_like: {who}, cosine {other.score:.2f}")
            out.append(verdict)
        return out


def face_fault(faces: PhotoFaces, row: int) -> str:
    """Why a face of a photo is not good enough to be enrolled; "" if it is."""
    width, quality, score = (float(values[row]) for values in (faces.widths, faces.quality, faces.faces.scores))
    if faces.rotation_ambiguous:
        return "not_upright: it cannot be told which way up the photo is; turn it and save it"
    if width < MIN_FACE_PX:
        return f"too_small: the face is {width:.0f} pixels wide, {MIN_FACE_PX:.0f} are needed"
    if faces.alignment_error[row] > MAX_ALIGNMENT_ERROR:
        return "extreme_pose"
    if sharpness_of(faces.chips[row]) < MIN_SHARPNESS:
        return "blurred"
    if quality * score < MIN_CONFIDENCE:
        return f"low_quality: {quality:.2f}, at a detector's score of {score:.2f}"
    return ""


def _preview_name(verdict: Verdict) -> str:
    return f"{Path(verdict.photo).stem[:60]}-{verdict.sha256[:8]}"


def _refuse_outliers(judged: list[Verdict], own: list[NDArray[np.float32]]) -> list[Verdict]:
    """Refuse photos that are unlike all other photos of the person, if there are at least three with those enrolled before."""
    accepted = [v for v in judged if v.vector is not None]
    if len(accepted) + len(own) < 3 or not accepted:
        return judged
    vectors = np.stack([*(v.vector for v in accepted if v.vector is not None), *own])
    cosines = vectors @ vectors.T - 2 * np.eye(len(vectors), dtype=np.float32)  # not to itself
    outliers = {id(v) for v, best in zip(accepted, cosines.max(1), strict=False) if best < MIN_SAME_PERSON_COSINE}
    return [v.refused("unlike_other_photos") if id(v) in outliers else v for v in judged]
