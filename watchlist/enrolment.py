"""Enrol photos: judge them with the gate, and store the accepted ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from models.chip import CHIP
from models.pictures import read_picture
from watchlist.enrolment_gate import Gate, Verdict, face_fault
from watchlist.gallery import Gallery
from watchlist.identities import AmbiguousName
from watchlist.names import display_path, normalised_name
from watchlist.photo_faces import Recognizer
from watchlist.photos import PhotoEntry
from watchlist.store import Store

__all__ = ["Gate", "Verdict", "decode_png", "encode_chip", "enrol", "face_fault", "reembed"]
EMBED_BATCH = 64  # chips embedded together


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
    """Group entries by person: by id on the list, else by external id, else by name.

    Entries without an external id join those with one, if all entries of that name have the same external id.
    """
    groups: dict[tuple[str, str], list[PhotoEntry]] = {}
    for entry in entries:
        entry = replace(entry, name=normalised_name(entry.name))
        external_id = entry.details.get("external_id")
        key = ("id", str(entry.identity)) if entry.identity is not None else ("external", external_id or "")
        groups.setdefault(key if external_id or entry.identity is not None else ("name", entry.name), []).append(entry)
    for kind, name in list(groups):
        same = [key for key, photos in groups.items() if key[0] == "external" and photos[0].name == name]
        if kind == "name" and same:
            photos = groups.pop((kind, name))
            if len(same) == 1:
                groups[same[0]] += photos
            else:  # last, when both people are on the list and the name is refused as ambiguous
                groups[kind, name] = photos
    return list(groups.values())


def _warn_of_name(
    store: Store, name: str, known: int | None, external_id: str | None, names: dict[str, str], on_warning: Callable[[str], None]
) -> None:
    """Warn of names that may be mistaken for another person's."""
    kept = None if known is None else store.name_of(known)
    if kept is not None and kept != name:
        on_warning(f"{name!r} has the external id {external_id} of {kept!r} (ID {known}), whose name stays")
    other = names.setdefault(name.casefold(), name)
    if known is None and other != name:
        on_warning(f"{name!r} and {other!r} differ only in case, and are two people")


def _keep(store: Store, judged: list[Verdict], photos: list[PhotoEntry], known: int | None, digest: str) -> list[Verdict]:
    """Store one person's accepted photos. Returns the verdicts with the person's id."""
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
        # No names: the audit log is never erased. A reason may hold the name of a lookalike, so only its code is written.
        store.log_audit("enrol", identity=known, photos=dict(Counter(v.reason.partition(":")[0] or "enrolled" for v in judged)))
    return [replace(verdict, identity=known) for verdict in judged]


def reembed(store: Store, recognizer: Recognizer, on_progress: Callable[[int], None] = lambda done: None) -> int:
    """Embed all stored chips again with another recogniser, in one transaction.

    Args:
        store: the watchlist's database.
        recognizer: the new recogniser.
        on_progress: called with the number of chips embedded so far.

    Returns:
        The number of photos.
    """
    photos = store.photo_chips()
    vectors: dict[int, tuple[NDArray[np.float32], float]] = {}
    for start in range(0, len(photos), EMBED_BATCH):
        batch = photos[start : start + EMBED_BATCH]
        embeddings, qualities = recognizer.embed_with_quality(np.stack([decode_png(chip) for _, chip in batch]))
        vectors |= {row: (vector, float(q)) for (row, _), vector, q in zip(batch, embeddings, qualities, strict=True)}
        on_progress(len(vectors))
    store.put_embeddings(vectors, recognizer.digest)
    store.log_audit("reembed", photos=len(photos), recognizer=recognizer.digest)
    return len(photos)


def decode_png(code: bytes) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of a PNG. Raises ValueError for other data."""
    return read_picture(code, ("PNG",))


def encode_chip(chip: NDArray[np.uint8]) -> bytes:
    """A chip as PNG, enlarged to 128 pixels if it is smaller."""
    if chip.shape[0] != CHIP:
        chip = cv2.resize(chip, (CHIP, CHIP), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    return bytes(cv2.imencode(".png", np.ascontiguousarray(chip[..., ::-1]))[1].tobytes())
