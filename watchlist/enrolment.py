"""The enrolment gate: enrol a photo, or refuse it with a reason."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP, sharpness_of
from models.pictures import read_picture
from watchlist.gallery import Gallery
from watchlist.identities import AmbiguousName
from watchlist.names import display_path, normalised_name
from watchlist.people import Enrolment
from watchlist.photo_faces import Detector, PhotoFaces, Recognizer, analyse_photo
from watchlist.photos import PhotoEntry, PhotoError, read_photo_with_digest
from watchlist.preview import write_preview
from watchlist.store import Store
from watchlist.thresholds import Thresholds

MIN_FACE_PX = 24.0
MIN_SHARPNESS = 4.0
MAX_ALIGNMENT_ERROR = 0.25
MIN_CONFIDENCE = 0.3  # score times quality: of 100 photos without a face 10 pass it, of 1,000 with one 994 (evaluation.enrolment)
EMBED_BATCH = 64  # chips embedded together
LOOKALIKE_FPIR = 1e-3  # how seldom a stranger's photo may be taken for that of somebody on the list
MIN_SAME_PERSON_COSINE = 0.1  # cosine between photos of one person


@dataclass(frozen=True)
class Verdict:
    """What became of one photo.

    ``reason`` is "" when it was enrolled. ``identity`` is the person's id, None where they are not on the list. ``chip`` uint8
    (r, r, 3), ``vector`` float32 (D,); ``sha256`` of the file; ``turns`` the quarters against the clock by which the photo was
    turned; ``preview`` a picture of its faces with numbers, where one has to be chosen.
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
        """The name, with the external id where there is one."""
        return f"{self.name} ({self.external_id})" if self.external_id else self.name

    def refused(self, reason: str) -> Verdict:
        return replace(self, reason=reason, chip=None, vector=None)


class Gate:
    """Judges photos.

    Reasons to refuse one: unreadable, no_face, no_such_face, several_faces, not_upright, too_small, blurred, extreme_pose,
    low_quality, unlike_other_photos, looks_like (somebody else on the list; asked only with ``thresholds``), ambiguous_name.

    Args:
        detector, recognizer: as `models.load_detector` and `models.load_recognizer` give them.
        thresholds: of the recogniser, to refuse who looks like somebody else.
        judge: the project's own recogniser, where ``recognizer`` is another that tells nothing of quality.
        previews: folder for pictures that number the faces of a photo that shows several; None: no such picture.
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
        """Find the one face of a photo, or face number ``face`` of several, and embed it, or say why not."""
        verdict = Verdict(name, display_path(path.name), "")
        try:
            photo, sha256 = read_photo_with_digest(path)
        except PhotoError as error:
            return verdict.refused(f"unreadable: {display_path(str(error))}")
        found = self.analyse(photo)
        verdict = replace(verdict, sha256=sha256, turns=found.turns)
        if not len(found):
            return verdict.refused("no_face")
        people = found.subjects()
        if face is not None and not 1 <= face <= len(found):
            return self._with_preview(verdict, found, f"no_such_face: {face}, the photo shows {len(found)}")
        if face is None and len(people) > 1:
            return self._with_preview(verdict, found, f"several_faces: {len(people)}, crop the photo or choose one by number")
        row = people[0] if face is None else face - 1
        verdict = replace(verdict, face_px=float(found.widths[row]), quality=float(found.quality[row]))
        if fault := face_fault(found, row):
            return verdict.refused(fault)
        if face is not None and self._previews is not None:
            with contextlib.suppress(OSError):
                (self._previews / f"{_preview_name(verdict)}.jpg").unlink()
        vector, quality = self.embed(found, row)
        verdict = replace(verdict, quality=quality)
        if self._judge is not None and not quality:
            return verdict.refused("low_quality: the recogniser makes nothing of it")
        return replace(verdict, chip=found.chips[row], vector=vector)

    def analyse(self, photo: NDArray[np.uint8]) -> PhotoFaces:
        """Find the faces of a photo, uint8 (H, W, 3) RGB."""
        return analyse_photo(self._detector, self._judge or self._recognizer, photo)

    def embed(self, found: PhotoFaces, row: int) -> tuple[NDArray[np.float32], float]:
        """The embedding (D,) of a face by the list's recogniser, and its quality, 0 to 1."""
        if self._judge is None:
            return found.vectors[row], float(found.quality[row])
        vectors, trust = self._recognizer.embed_with_quality(found.chips[row][None])
        return vectors[0], float(trust[0])

    def _with_preview(self, verdict: Verdict, found: PhotoFaces, reason: str) -> Verdict:
        verdict = verdict.refused(reason)
        if self._previews is None:
            return verdict
        preview = write_preview(found, self._previews, _preview_name(verdict))
        return replace(verdict, preview=preview, reason=reason if preview is None else f"{reason}, see {display_path(preview)}")

    def check_against_list(
        self, judged: list[Verdict], known: int | None, own: list[Enrolment], gallery: Gallery
    ) -> list[Verdict]:
        """The same verdicts about one person's photos, after a look at their enrolled photos and at who else is on the list."""
        out = []
        for verdict in _without_strangers(judged, [e.vector for e in own]):
            other = None if verdict.vector is None else gallery.nearest_other(verdict.vector, known)
            if self._thresholds is not None and other is not None:
                limit = self._thresholds.cosine(LOOKALIKE_FPIR, len(gallery), verdict.face_px)
                if other.score >= limit:
                    who = other.name if other.name != verdict.name else f"{other.name} (ID {other.identity})"
                    verdict = verdict.refused(f"looks_like: {who}, cosine {other.score:.2f}")
            out.append(verdict)
        return out


def face_fault(found: PhotoFaces, row: int) -> str:
    """Why a face of a photo is not good enough to be enrolled; "" where it is."""
    width, quality, score = (float(of[row]) for of in (found.widths, found.quality, found.faces.scores))
    if found.rotation_ambiguous:
        return "not_upright: it cannot be told which way up the photo is; turn it and save it"
    if width < MIN_FACE_PX:
        return f"too_small: the face is {width:.0f} pixels wide, {MIN_FACE_PX:.0f} are needed"
    if found.alignment_error[row] > MAX_ALIGNMENT_ERROR:
        return "extreme_pose"
    if sharpness_of(found.chips[row]) < MIN_SHARPNESS:
        return "blurred"
    if quality * score < MIN_CONFIDENCE:
        return f"low_quality: {quality:.2f}, at a detector's score of {score:.2f}"
    return ""


def enrol(
    store: Store,
    gate: Gate,
    entries: Iterable[PhotoEntry],
    digest: str,
    on_verdict: Callable[[Verdict], None] = lambda verdict: None,
    on_warning: Callable[[str], None] = lambda text: None,
) -> list[Verdict]:
    """Judge photos and enrol the accepted ones, in one transaction for each person.

    Args:
        store: the watchlist's database.
        gate: judges each photo.
        entries: photos to enrol. An entry's ``identity`` or external id says who it shows, else its name.
        digest: of the gate's recogniser.
        on_verdict: called with each verdict.
        on_warning: called with one line for each name that may be mistaken.

    Returns:
        A verdict for each photo, grouped by person.

    Raises:
        StoreError: the list was enrolled with another recogniser than ``digest``.
    """
    verdicts: list[Verdict] = []
    gallery = Gallery(store, digest)
    names = {name.casefold(): name for name in store.names().values()}
    for photos in _by_person(entries):
        name, external_id = photos[0].name, photos[0].details.get("external_id")
        try:
            known = photos[0].identity if photos[0].identity is not None else store.find_identity(name, external_id)
        except AmbiguousName as error:
            judged = [Verdict(name, display_path(e.photo.name), f"ambiguous_name: {error}; name the external id") for e in photos]
        else:
            _warn_of_name(store, name, known, external_id, names, on_warning)
            judged = [replace(gate.judge(name, e.photo, e.face), external_id=external_id) for e in photos]
            judged = [replace(v, photo=e.shown) if e.shown else v for v, e in zip(judged, photos, strict=True)]
            gallery.update()
            judged = gate.check_against_list(judged, known, [] if known is None else store.enrolments(known), gallery)
            judged = _keep(store, judged, photos, known, digest)
        for verdict in judged:
            on_verdict(verdict)
        verdicts.extend(judged)
    return verdicts


def _by_person(entries: Iterable[PhotoEntry]) -> list[list[PhotoEntry]]:
    """Entries by whom they show: an id of the list, else an external id, else the name; one without an external id goes to those
    with one where they all are of one person of that name."""
    groups: dict[tuple[str, str], list[PhotoEntry]] = {}
    for entry in entries:
        entry = replace(entry, name=normalised_name(entry.name))
        external_id = entry.details.get("external_id")
        key = ("id", str(entry.identity)) if entry.identity is not None else ("external", external_id or "")
        groups.setdefault(key if external_id or entry.identity is not None else ("name", entry.name), []).append(entry)
    for kind, name in list(groups):
        same = [key for key, found in groups.items() if key[0] == "external" and found[0].name == name]
        if kind == "name" and same:
            photos = groups.pop((kind, name))
            if len(same) == 1:
                groups[same[0]] += photos
            else:  # last, when it can be seen that the name alone does not tell
                groups[kind, name] = photos
    return list(groups.values())


def _warn_of_name(
    store: Store, name: str, known: int | None, external_id: str | None, names: dict[str, str], on_warning: Callable[[str], None]
) -> None:
    """Say where a name may not be whom it seems."""
    kept = None if known is None else store.name_of(known)
    if kept is not None and kept != name:
        on_warning(f"{name!r} has the external id {external_id} of {kept!r} (ID {known}), whose name stays")
    other = names.setdefault(name.casefold(), name)
    if known is None and other != name:
        on_warning(f"{name!r} and {other!r} differ only in case, and are two people")


def _keep(store: Store, judged: list[Verdict], photos: list[PhotoEntry], known: int | None, digest: str) -> list[Verdict]:
    """Write what was found good of one person's photos; returns the verdicts with the person's id."""
    name = photos[0].name
    with store.transaction():
        good = [(v, e) for v, e in zip(judged, photos, strict=True) if v.chip is not None and v.vector is not None]
        if good:
            details = {k: x for _, e in good for k, x in e.details.items()}
            known = store.add_identity(name, known, **details)
            for verdict, entry in good:
                assert verdict.chip is not None and verdict.vector is not None
                chip = encode_chip(verdict.chip)
                store.add_enrolment(
                    known,
                    entry.shown or display_path(entry.photo),
                    verdict.sha256,
                    chip,
                    verdict.vector,
                    digest,
                    verdict.quality,
                    verdict.face_px,
                )
        if known is not None:
            store.put_refusals(known, [(v.photo, v.reason) for v in judged])
        # No names, which the audit log would keep for ever; not the likeness's either.
        store.log_audit("enrol", identity=known, photos=dict(Counter(v.reason.partition(":")[0] or "enrolled" for v in judged)))
    return [replace(verdict, identity=known) for verdict in judged]


def _preview_name(verdict: Verdict) -> str:
    return f"{Path(verdict.photo).stem[:60]}-{verdict.sha256[:8]}"


def _without_strangers(judged: list[Verdict], own: list[NDArray[np.float32]]) -> list[Verdict]:
    """Of three photos or more, with those enrolled before, refuse one that is unlike all the person's others."""
    good = [v for v in judged if v.vector is not None]
    if len(good) + len(own) < 3 or not good:
        return judged
    vectors = np.stack([*(v.vector for v in good if v.vector is not None), *own])
    likeness = vectors @ vectors.T - 2 * np.eye(len(vectors), dtype=np.float32)
    strange = {id(v) for v, best in zip(good, likeness.max(1), strict=False) if best < MIN_SAME_PERSON_COSINE}
    return [v.refused("unlike_other_photos") if id(v) in strange else v for v in judged]


def reembed(store: Store, recognizer: Recognizer, on_progress: Callable[[int], None] = lambda done: None) -> int:
    """Embed all stored chips again with another recogniser, in one transaction.

    Args:
        store: the watchlist's database.
        recognizer: the new recogniser.
        on_progress: called with the number of chips embedded so far.

    Returns:
        The number of photos.
    """
    kept = store.photo_chips()
    vectors: dict[int, tuple[NDArray[np.float32], float]] = {}
    for start in range(0, len(kept), EMBED_BATCH):
        part = kept[start : start + EMBED_BATCH]
        made, quality = recognizer.embed_with_quality(np.stack([decode_png(chip) for _, chip in part]))
        vectors |= {row: (vector, float(q)) for (row, _), vector, q in zip(part, made, quality, strict=True)}
        on_progress(len(vectors))
    store.put_embeddings(vectors, recognizer.digest)
    store.log_audit("reembed", photos=len(kept), recognizer=recognizer.digest)
    return len(kept)


def decode_png(code: bytes) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of a PNG. Raises ValueError if it is none."""
    return read_picture(code, ("PNG",))


def encode_chip(chip: NDArray[np.uint8]) -> bytes:
    """A chip as PNG, enlarged to 128 pixels if it is smaller."""
    if chip.shape[0] != CHIP:
        chip = cv2.resize(chip, (CHIP, CHIP), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    return bytes(cv2.imencode(".png", np.ascontiguousarray(chip[..., ::-1]))[1].tobytes())
