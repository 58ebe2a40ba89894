"""The photo desk: stores uploaded photos for half an hour, finds their faces, and enrols or searches for a chosen face."""

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
from console.desk_photo import DeskPhoto, describe_photo
from console.pictures import cut_face, encode_jpeg
from console.problems import Problem, not_found
from models.pictures import PictureError, read_picture
from watchlist.database import StoreError
from watchlist.names import display_path
from watchlist.output_folder import shot_pictures
from watchlist.store import Store

if TYPE_CHECKING:
    from watchlist.enrolment import Gate, Verdict
    from watchlist.photos import PhotoEntry
    from watchlist.search_back import TrackHit
    from watchlist.tracks import TrackFilter

LIFETIME_S = 1800.0  # after which a photo is deleted
MAX_PHOTOS = 200  # stored photos of all users; the oldest are deleted first
MAX_OF_ONE = 80  # stored photos of one user
SHOWN_PX = 1280  # longest side of a photo on a page
FACE_PX = 96  # longest side of a face on a page


@dataclass
class _Upload:
    photo: DeskPhoto
    owner: str
    at: float
    path: Path | None = None
    picture: bytes = b""
    thumbnails: list[bytes] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)


class PhotoDesk:
    """Stores uploaded photos in a temporary folder, and analyses one at a time. The models are loaded with the first photo.

    A photo belongs to the user who has uploaded it; other users cannot see it.

    Args:
        console: the console.

    Attributes:
        digest: of the recogniser; empty before the first use.
        card: of the recogniser; {} before the first use.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._uploads: OrderedDict[str, _Upload] = OrderedDict()
        self._models, self._desk = threading.Lock(), threading.Lock()
        self._gates: dict[bool, Gate] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.digest = ""
        self.card: dict[str, Any] = {}

    # ---------- photos ----------

    def add(self, owner: str, name: str, content: bytes) -> DeskPhoto:
        """Find the faces of a photo, and store it for its owner.

        Args:
            owner: name of the user.
            name: file name.
            content: the image file.

        Returns:
            The photo. A photo that cannot be read is not stored; its ``fault`` says why.
        """
        token, name = secrets.token_urlsafe(16), display_path(Path(name.replace("\\", "/")).name)[:200] or "photo"
        try:
            picture = read_picture(content)
        except PictureError as error:
            return DeskPhoto(token, name, fault=f"unreadable: {display_path(str(error))}")
        with self._models:
            gate = self._gate(True)
            found = gate.analyse(picture)
            vectors = [gate.embed(found, row)[0] for row in range(len(found))]
        photo = describe_photo(token, name, found)
        upload = _Upload(photo, owner, time.monotonic(), picture=encode_jpeg(found.photo, SHOWN_PX), vectors=vectors)
        upload.thumbnails = [encode_jpeg(cut_face(found.photo, face.box), FACE_PX) for face in photo.faces]
        with self._desk:
            self._forget()
            self._forget_oldest_of(owner)
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="farsight-desk-")
            upload.path = Path(self._folder.name) / token
            upload.path.write_bytes(content)
            self._uploads[token] = upload
        return photo

    def photo(self, owner: str, token: str) -> DeskPhoto:
        """Find a photo of its owner. Raises Problem 404 if it is not stored (any more)."""
        return self._find(owner, token).photo

    def picture(self, owner: str, token: str, face: int = 0) -> bytes:
        """The upright photo (``face`` 0) or one of its faces (from 1), as JPEG. Raises Problem 404."""
        upload = self._find(owner, token)
        if not 0 <= face <= len(upload.thumbnails):
            raise not_found("no such face")
        return upload.thumbnails[face - 1] if face else upload.picture

    def vector(self, owner: str, token: str, face: int) -> NDArray[np.float32]:
        """Embedding float32 (D,) of a face; ``face`` counts from 1. Raises Problem 404."""
        upload = self._find(owner, token)
        if not 1 <= face <= len(upload.vectors):
            raise not_found("no such face")
        return upload.vectors[face - 1]

    def _find(self, owner: str, token: str) -> _Upload:
        with self._desk:
            self._forget()
            upload = self._uploads.get(token)
        if upload is None or upload.owner != owner:
            raise not_found("the photo is no longer stored; upload it again")
        return upload

    def _forget(self) -> None:
        """Delete photos beyond `LIFETIME_S` and `MAX_PHOTOS`."""
        while self._uploads:
            token, oldest = next(iter(self._uploads.items()))
            if len(self._uploads) < MAX_PHOTOS and time.monotonic() - oldest.at < LIFETIME_S:
                return
            self._drop(token)

    def _forget_oldest_of(self, owner: str) -> None:
        """Delete the oldest photos of a user beyond `MAX_OF_ONE`, so that one user cannot displace the photos of others."""
        own = [token for token, upload in self._uploads.items() if upload.owner == owner]
        for token in own[: max(0, len(own) - MAX_OF_ONE + 1)]:
            self._drop(token)

    def _drop(self, token: str) -> None:
        if (path := self._uploads.pop(token).path) is not None:
            path.unlink(missing_ok=True)

    # ---------- enrolment and search ----------

    def entry(
        self, owner: str, token: str, name: str, face: int | None, details: dict[str, str], identity: int | None
    ) -> PhotoEntry:
        """An uploaded photo as an entry for `enrol`, with arguments as in `PhotoEntry`. Raises Problem 404 if it was deleted."""
        from watchlist.photos import PhotoEntry

        upload = self._find(owner, token)
        if upload.path is None:
            raise not_found("the photo is no longer stored; upload it again")
        return PhotoEntry(name, upload.path, details, face, identity, upload.photo.name)

    def entries_of_track(self, row: dict[str, Any], name: str, details: dict[str, str], identity: int | None) -> list[PhotoEntry]:
        """The original crops of a track's shots as entries for `enrol`. Raises Problem 422 if none is stored."""
        from watchlist.photos import PhotoEntry

        folder = self._console.folder
        names = [row["crop"], *shot_pictures(row["source"], row["track"], row["shots"])]
        paths = [path for shot in names if (path := folder.picture_path(shot)) is not None]
        if not paths:
            raise Problem(422, "No crop is stored", "the crops of this track were purged; enrol from a photo")
        track = f"{row['source']}/{row['track']}"
        return [PhotoEntry(name, path, details, None, identity, f"{track} shot {number}") for number, path in enumerate(paths, 1)]

    def enrol(
        self,
        user: str,
        entries: list[PhotoEntry],
        allow_lookalike: bool = False,
        on_verdict: Callable[[Verdict], None] = lambda verdict: None,
    ) -> list[Verdict]:
        """Judge photos with the enrolment gate, and enrol the accepted ones.

        Args:
            user: name for the audit log.
            entries: photos to enrol.
            allow_lookalike: also enrol a face that looks like somebody else on the list.
            on_verdict: called with each verdict.

        Returns:
            A verdict for each photo.

        Raises:
            Problem: 409 if the list was enrolled with another recogniser, or is a copy of another list.
        """
        from watchlist.enrolment import enrol

        with self._models:
            gate = _SharedGate(self._gate(allow_lookalike), self._models)
        store = Store(self._console.database, must_exist=True)  # a separate connection, because judging takes long
        store.user = user
        try:
            if origin := store.copied_from():
                raise Problem(409, "This list is a copy", f"its original {origin} would undo the change: enrol there")
            judged = enrol(store, gate, entries, self.digest, on_verdict)  # type: ignore[arg-type]
        except StoreError as error:
            raise Problem(409, "Not enrolled", str(error)) from None
        finally:
            store.close()
        return [replace(verdict, preview=None, reason=verdict.reason.partition(", see ")[0]) for verdict in judged]

    def search(
        self, vectors: NDArray[np.float32], top: int, fpir: float, where: TrackFilter | None, user: str, by: str
    ) -> tuple[list[TrackHit], int]:
        """Search past tracks. The search is logged with database, input and number of matches (EU AI Act, Article 12 (3)).

        Args:
            vectors: embeddings float32 (M, D) of one person.
            top: largest number of hits.
            fpir: false alarms allowed per search.
            where: selects the tracks; None: all.
            user: name for the audit log.
            by: kind of query for the audit log, such as ``photo``.

        Returns:
            The tracks nearest to any of the embeddings, best first, and the number of tracks compared.

        Raises:
            Problem: 409 if the database cannot be searched.
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
        """The enrolment gate. The caller must hold `_models`."""
        from models import load_detector, load_recognizer
        from watchlist.enrolment import Gate
        from watchlist.thresholds import Thresholds

        if not self._gates:
            thresholds = Thresholds(self._card()["impostors"])
            detector, recognizer = load_detector(None, "auto", 0.5), load_recognizer(None, "auto")
            self._gates = {allowed: Gate(detector, recognizer, None if allowed else thresholds) for allowed in (False, True)}
        return self._gates[allow_lookalike]


class _SharedGate:
    """An enrolment gate that judges one photo at a time for several threads."""

    def __init__(self, gate: Gate, lock: threading.Lock) -> None:
        self._gate, self._lock = gate, lock

    def judge(self, name: str, path: Path, face: int | None = None) -> Verdict:
        with self._lock:
            return self._gate.judge(name, path, face)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._gate, name)


def desk_of(request: Request) -> PhotoDesk:
    """The `PhotoDesk` of the running application."""
    found: PhotoDesk | None = getattr(request.app.state, "desk", None)
    if found is None:
        found = request.app.state.desk = PhotoDesk(console_of(request))
    return found
