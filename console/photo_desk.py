"""Uploaded photos: their faces, to choose from; enrolment and search with the chosen face. Photos are kept for half an hour."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from console.context import Console, console_of
from console.pictures import cut_face, encode_jpeg
from console.problems import Problem, not_found
from models.pictures import PictureError, read_picture
from watchlist.database import StoreError
from watchlist.names import display_path
from watchlist.output_folder import shot_pictures
from watchlist.store import Store

if TYPE_CHECKING:
    from watchlist.enrolment import Gate, Verdict
    from watchlist.photo_faces import PhotoFaces
    from watchlist.photos import PhotoEntry
    from watchlist.search_back import TrackHit
    from watchlist.tracks import TrackFilter

KEPT_S = 1800.0
MAX_PHOTOS = 200  # kept at a time, of all users; the oldest go first
MAX_OF_ONE = 80  # of one user
SHOWN_PX = 1280
FACE_PX = 96


@dataclass(frozen=True)
class DeskFace:
    """A face of an uploaded photo: its ``number`` from 1, ``box`` x1 y1 x2 y2 in pixels of the upright photo, ``fault`` why the
    enrolment gate would refuse it ("" if it would not)."""

    number: int
    box: tuple[float, float, float, float]
    face_px: float
    quality: float
    fault: str


@dataclass(frozen=True)
class DeskPhoto:
    """An uploaded photo. ``faces`` are the widest first; ``chosen`` is the number of the face it is clearly meant to show, None
    where that has to be chosen; ``fault`` is why it cannot be used."""

    token: str
    name: str
    width: int = 0
    height: int = 0
    faces: tuple[DeskFace, ...] = ()
    chosen: int | None = None
    fault: str = ""


@dataclass
class _Kept:
    photo: DeskPhoto
    owner: str
    at: float
    path: Path | None = None
    picture: bytes = b""
    thumbnails: list[bytes] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)


class PhotoDesk:
    """Keeps uploaded photos in a temporary folder and analyses one at a time, with models that are loaded at the first photo."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._models, self._desk = threading.Lock(), threading.Lock()
        self._gates: dict[bool, Gate] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.digest = ""
        self.card: dict[str, Any] = {}

    # ---------- photos ----------

    def add(self, owner: str, name: str, content: bytes) -> DeskPhoto:
        """Find the faces of a photo and keep it for its owner; one that cannot be used tells why in ``fault``."""
        token, name = secrets.token_urlsafe(16), display_path(Path(name.replace("\\", "/")).name)[:200] or "photo"
        try:
            picture = read_picture(content)
        except PictureError as error:
            return DeskPhoto(token, name, fault=f"unreadable: {display_path(str(error))}")
        with self._models:
            gate = self._gate(True)
            found = gate.analyse(picture)
            vectors = [gate.embed(found, row)[0] for row in range(len(found))]
        photo = _described(token, name, found)
        kept = _Kept(photo, owner, time.monotonic(), picture=encode_jpeg(found.photo, SHOWN_PX), vectors=vectors)
        kept.thumbnails = [encode_jpeg(cut_face(found.photo, face.box), FACE_PX) for face in photo.faces]
        with self._desk:
            self._forget()
            self._forget_oldest_of(owner)
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="farsight-desk-")
            kept.path = Path(self._folder.name) / token
            kept.path.write_bytes(content)
            self._kept[token] = kept
        return photo

    def photo(self, owner: str, token: str) -> DeskPhoto:
        """A photo that its owner has uploaded. Raises Problem (404) where there is none (any more)."""
        return self._find(owner, token).photo

    def picture(self, owner: str, token: str, face: int = 0) -> bytes:
        """The upright photo as JPEG, or one of its faces."""
        kept = self._find(owner, token)
        if not 0 <= face <= len(kept.thumbnails):
            raise not_found("no such face")
        return kept.thumbnails[face - 1] if face else kept.picture

    def vector(self, owner: str, token: str, face: int) -> NDArray[np.float32]:
        """The embedding (D,) of a face."""
        kept = self._find(owner, token)
        if not 1 <= face <= len(kept.vectors):
            raise not_found("no such face")
        return kept.vectors[face - 1]

    def _find(self, owner: str, token: str) -> _Kept:
        with self._desk:
            self._forget()
            kept = self._kept.get(token)
        if kept is None or kept.owner != owner:
            raise not_found("the photo is no longer kept; drop it again")
        return kept

    def _forget(self) -> None:
        """Delete photos that are too old or too many."""
        while self._kept:
            token, oldest = next(iter(self._kept.items()))
            if len(self._kept) < MAX_PHOTOS and time.monotonic() - oldest.at < KEPT_S:
                return
            self._drop(token)

    def _forget_oldest_of(self, owner: str) -> None:
        """Make room for another photo of a user, who does not push out those of others."""
        own = [token for token, kept in self._kept.items() if kept.owner == owner]
        for token in own[: max(0, len(own) - MAX_OF_ONE + 1)]:
            self._drop(token)

    def _drop(self, token: str) -> None:
        if (path := self._kept.pop(token).path) is not None:
            path.unlink(missing_ok=True)

    # ---------- enrolment and search ----------

    def entry(
        self, owner: str, token: str, name: str, face: int | None, details: dict[str, str], identity: int | None
    ) -> PhotoEntry:
        """A kept photo as an entry to enrol."""
        from watchlist.photos import PhotoEntry

        kept = self._find(owner, token)
        if kept.path is None:
            raise not_found("the photo is no longer kept; drop it again")
        return PhotoEntry(name, kept.path, details, face, identity, kept.photo.name)

    def entries_of_track(self, row: dict[str, Any], name: str, details: dict[str, str], identity: int | None) -> list[PhotoEntry]:
        """The original crops of a track's shots as entries to enrol. Raises Problem where none is kept."""
        from watchlist.photos import PhotoEntry

        folder = self._console.folder
        names = [row["crop"], *shot_pictures(row["source"], row["track"], row["shots"])]
        paths = [path for shot in names if (path := folder.picture_path(shot)) is not None]
        if not paths:
            raise Problem(422, "No picture is kept", "the crops of this track were purged; enrol from a photo")
        track = f"{row['source']}/{row['track']}"
        return [PhotoEntry(name, path, details, None, identity, f"{track} shot {number}") for number, path in enumerate(paths, 1)]

    def enrol(
        self,
        user: str,
        entries: list[PhotoEntry],
        allow_lookalike: bool = False,
        on_verdict: Callable[[Verdict], None] = lambda verdict: None,
    ) -> list[Verdict]:
        """Judge and enrol photos, for ``user``.

        Raises Problem where the list belongs to another recogniser or is a copy of another list.
        """
        from watchlist.enrolment import enrol

        with self._models:
            gate = _SharedGate(self._gate(allow_lookalike), self._models)
        store = Store(self._console.database, must_exist=True)  # of its own: judging takes long, and others may write meanwhile
        store.user = user
        try:
            if origin := store.copied_from():
                raise Problem(409, "This list is a copy", f"of {origin}, which would undo the change: enrol there")
            judged = enrol(store, gate, entries, self.digest, on_verdict)  # type: ignore[arg-type]
        except StoreError as error:
            raise Problem(409, "Not enrolled", str(error)) from None
        finally:
            store.close()
        return [replace(verdict, preview=None, reason=verdict.reason.partition(", see ")[0]) for verdict in judged]

    def search(
        self, vectors: NDArray[np.float32], top: int, fpir: float, where: TrackFilter | None, user: str, by: str
    ) -> tuple[list[TrackHit], int]:
        """Past tracks nearest to any of the vectors (M, D), best first, and how many were compared. Raises Problem.

        The audit log gets a line about ``user`` and what was searched ``by``: a use of the system, as Article 12(3) of the EU AI
        Act asks, with the database, the input and whether it matched.
        """
        from watchlist.search_back import DatabaseTracks, TrackSearch

        with self._models:
            self._card()
            store = self._console.reader()
            try:
                past = TrackSearch(DatabaseTracks(store, self.digest), store.thresholds(self.card))
                hits, compared = past.search(vectors, top, fpir, where)
            except StoreError as error:
                raise Problem(409, "Not searched", str(error)) from None
        if not store.read_only:
            with self._console.writer(user) as writing:
                writing.log_audit(
                    "search", by=by, embedding_sha256=hashlib.sha256(vectors.tobytes()).hexdigest(), tracks_compared=compared,
                    matches=sum(hit.outcome == "match" for hit in hits), fpir=fpir, database=self._console.database.name,
                    recognizer=self.digest,
                )  # fmt: skip
        return hits, compared

    def _card(self) -> dict[str, Any]:
        from models import recognizer_card

        if not self.card:
            self.card = recognizer_card(None)
            self.digest = str(self.card["sha256"])
        return self.card

    def _gate(self, allow_lookalike: bool) -> Gate:
        """The enrolment gate; the caller holds the lock of the models."""
        from models import load_detector, load_recognizer
        from watchlist.enrolment import Gate
        from watchlist.thresholds import Thresholds

        if not self._gates:
            thresholds = Thresholds(self._card()["impostors"])
            detector, recognizer = load_detector(None, "auto", 0.5), load_recognizer(None, "auto")
            self._gates = {allowed: Gate(detector, recognizer, None if allowed else thresholds) for allowed in (False, True)}
        return self._gates[allow_lookalike]


class _SharedGate:
    """A gate that several threads use, one photo at a time."""

    def __init__(self, gate: Gate, lock: threading.Lock) -> None:
        self._gate, self._lock = gate, lock

    def judge(self, name: str, path: Path, face: int | None = None) -> Verdict:
        with self._lock:
            return self._gate.judge(name, path, face)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)


def desk_of(request: Request) -> PhotoDesk:
    """The desk of the running application."""
    found: PhotoDesk | None = getattr(request.app.state, "desk", None)
    if found is None:
        found = request.app.state.desk = PhotoDesk(console_of(request))
    return found


def _described(token: str, name: str, found: PhotoFaces) -> DeskPhoto:
    from watchlist.enrolment import face_fault

    faces = tuple(
        DeskFace(row + 1, tuple(map(float, box)), float(width), float(quality), face_fault(found, row))  # type: ignore[arg-type]
        for row, (box, width, quality) in enumerate(zip(found.faces.boxes, found.widths, found.quality, strict=True))
    )
    people = found.subjects() if len(found) else []
    height, width = found.photo.shape[:2]
    chosen = people[0] + 1 if len(people) == 1 else None
    return DeskPhoto(token, name, width, height, faces, chosen, "" if faces else "no_face")
