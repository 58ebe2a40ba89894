"""The table of enrolled photos: chips, embeddings and their recogniser."""

from __future__ import annotations

import json
import sqlite3
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from watchlist.database import Database
from watchlist.row_checks import checked_embedding, stack_embeddings
from watchlist.sqlite_connection import damaged_error

ACTIVE = (
    "i.removed IS NULL AND i.set_aside IS NULL AND e.set_aside IS NULL "
    "AND (i.expires IS NULL OR i.expires >= date('now', 'localtime'))"
)


@dataclass(frozen=True)
class Enrolment:
    """One enrolled photo.

    Attributes:
        id: of the photo, never reused.
        identity: id of the person.
        name: of the person.
        photo: file name.
        chip: the 128×128 chip as PNG.
        vector: embedding float32 (D,), unit length.
        recognizer: digest of the network that made the embedding.
        quality: the recogniser's quality estimate, 0 to 1.
        face_px: face width in pixels of the photo.
        set_aside: Unix time since which the photo is disabled; None: it is enabled.
    """

    id: int
    identity: int
    name: str
    photo: str
    chip: bytes
    vector: NDArray[np.float32]
    recognizer: str
    quality: float
    face_px: float
    set_aside: float | None = None


class EnrolledPhotos(Database):
    """Enrolled photos. A photo is active if it and its person are enabled and the person's entry has not expired."""

    def add_enrolment(
        self,
        identity: int,
        photo: str,
        sha256: str,
        chip: bytes,
        vector: NDArray[np.float32],
        recognizer: str,
        quality: float,
        face_px: float,
    ) -> None:
        """Store one photo. The same photo (by ``sha256`` of the file) replaces itself and stays disabled if it was.

        Args:
            identity: id of the person.
            photo: file name.
            sha256: of the file.
            chip: the 128×128 chip as PNG.
            vector: embedding float32 (D,), unit length.
            recognizer: digest of the network that made the embedding.
            quality: the recogniser's quality estimate, 0 to 1.
            face_px: face width in pixels of the photo.
        """
        columns = ("photo", "chip", "vector", "recognizer", "quality", "face_px", "created")
        self._db.execute(
            "INSERT INTO enrolments (identity, photo, sha256, chip, vector, recognizer, quality, face_px, created) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (identity, sha256) DO UPDATE SET "
            + ", ".join(f"{c} = excluded.{c}" for c in columns),
            (identity, photo, sha256, chip, vector.astype(np.float32).tobytes(), recognizer, quality, face_px, time.time()),
        )

    def enrolments(self, identity: int | None = None) -> list[Enrolment]:
        """All active photos; with ``identity`` all photos of that person, active or not.

        Raises:
            StoreError: a row is damaged.
        """
        rows = self._db.execute(
            "SELECT e.*, i.name FROM enrolments e JOIN identities i ON i.id = e.identity "
            f"WHERE {ACTIVE if identity is None else 'i.removed IS NULL AND i.id = :identity'} ORDER BY e.id",
            {"identity": identity},
        )
        return [
            Enrolment(
                r["id"],
                r["identity"],
                str(r["name"]),
                str(r["photo"]),
                bytes(r["chip"]) if isinstance(r["chip"], bytes) else b"",
                checked_embedding(r["vector"], np.float32, self.path, f"the photo {r['id']}"),
                str(r["recognizer"]),
                self._number(r, "quality"),
                self._number(r, "face_px"),
                None if r["set_aside"] is None else self._number(r, "set_aside"),
            )
            for r in rows
        ]

    def _number(self, row: sqlite3.Row, key: str) -> float:
        if not isinstance(row[key], (int, float)):
            raise damaged_error(self.path, f"{key} of the photo {row['id']}")
        return float(row[key])

    def first_photo(self, identity: int) -> tuple[int, bytes] | None:
        """Id and chip (PNG) of a person's first photo; None if there is none."""
        row = self._db.execute("SELECT id, chip FROM enrolments WHERE identity = ? ORDER BY id LIMIT 1", (identity,)).fetchone()
        return None if row is None or not isinstance(row["chip"], bytes) else (int(row["id"]), row["chip"])

    def active_photos(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids int64 (N,) of all active photos, ascending, and the identities int64 (N,) of their people."""
        rows = self._db.execute(
            f"SELECT e.id, e.identity FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE} ORDER BY e.id"
        ).fetchall()
        table = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def photo_embeddings(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings float32 (N, D) of photos, in the order of their ids ``rows`` (N,).

        Raises:
            StoreError: an embedding is missing or damaged, or their lengths differ.
        """
        ids = json.dumps([int(row) for row in rows])
        query = "SELECT id, vector FROM enrolments WHERE id IN (SELECT value FROM json_each(?))"
        by_id = dict(tuple(row) for row in self._db.execute(query, (ids,)))
        vectors = [checked_embedding(by_id.get(int(row)), np.float32, self.path, f"the photo {row}") for row in rows]
        return stack_embeddings(vectors, self.path, "enrolled photos")

    def photo_chips(self) -> list[tuple[int, bytes]]:
        """Id and 128×128 PNG chip of every photo of people on the list, to embed them with another recogniser."""
        rows = self._db.execute(
            "SELECT e.id, e.chip FROM enrolments e JOIN identities i ON i.id = e.identity WHERE i.removed IS NULL ORDER BY e.id"
        )
        return [(int(row["id"]), bytes(row["chip"])) for row in rows]

    def put_embeddings(self, vectors: dict[int, tuple[NDArray[np.float32], float]], recognizer: str) -> None:
        """Replace embeddings and qualities in one transaction.

        Args:
            vectors: embedding float32 (D,) and quality by photo id.
            recognizer: digest of the network that made them.
        """
        with self.transaction():
            self._db.executemany(
                "UPDATE enrolments SET vector = ?, quality = ?, recognizer = ? WHERE id = ?",
                [(v.astype(np.float32).tobytes(), quality, recognizer, row) for row, (v, quality) in vectors.items()],
            )

    def recognizers_enrolled(self) -> set[str]:
        """Digests of the recognisers that made the embeddings of active photos."""
        rows = self._db.execute(
            f"SELECT DISTINCT e.recognizer FROM enrolments e JOIN identities i ON i.id = e.identity WHERE {ACTIVE}"
        )
        return {str(row[0]) for row in rows}

    def reembed_count(self) -> int:
        """A counter that grows whenever the embedding of an existing photo changes."""
        return self.counter("reembedded")

    def chip_in_use(self, photo: Enrolment) -> bool:
        """Whether another enrolled photo has the same chip or embedding. One photo may be enrolled for two people."""
        row = self._db.execute(
            "SELECT 1 FROM enrolments WHERE id <> ? AND (chip = ? OR vector = ?) LIMIT 1",
            (photo.id, photo.chip, photo.vector.astype(np.float32).tobytes()),
        ).fetchone()
        return row is not None
