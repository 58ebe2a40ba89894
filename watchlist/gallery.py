"""FAISS index over the embeddings of enrolled photos. It is derived from the database and can be rebuilt at any time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from watchlist.database import StoreError
from watchlist.people import People

if TYPE_CHECKING:
    import faiss

MAX_FLOAT32_PHOTOS = 200_000  # larger lists use float16: half the memory and time, cosine error up to 0.0005
PHOTO_POWER = 0.87  # n photos count as n ** PHOTO_POWER people; measured on 528 people with 2 to 4 photos
NEIGHBOURS = 64  # photos per search; a person with more photos than this can hide other people


@dataclass(frozen=True)
class Candidate:
    """A person on the list, and the cosine between a probe and that person's nearest photo."""

    identity: int
    name: str
    score: float


class Gallery:
    """Exact inner-product search over all active photos. The score of a person is the cosine to the nearest photo.

    Exact search is fast enough for a million photos, and an update costs only as much as what changed. An inverted file takes
    half a minute to build.

    Raises:
        StoreError: the embeddings were made by another recogniser than ``digest``.
    """

    def __init__(self, people: People, digest: str) -> None:
        self._people, self._digest = people, digest
        self._generation: object = None
        self._names: dict[int, str] = {}
        self._rows = self._identities = np.zeros(0, np.int64)
        self._index: faiss.Index | None = None
        self._list_size = 0.0
        self._reembedded = people.reembed_count()
        self.update()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def list_size(self) -> float:
        """The effective list size for thresholds, see `list_length`."""
        return self._list_size

    def update(self) -> None:
        """Apply changes of the database to the index.

        Raises:
            StoreError: the embeddings are of another recogniser. The previous index stays in use.
        """
        if self._people.list_version() == self._generation:
            return
        try:
            with self._people.snapshot():
                self._follow()
        except StoreError:
            raise
        except Exception:  # partly updated: rebuild at the next update
            self._rows, self._index, self._generation = np.zeros(0, np.int64), None, None
            raise

    def _follow(self) -> None:
        generation = self._people.list_version()
        strange = self._people.recognizers_enrolled() - {self._digest}
        if strange:
            self._generation = generation
            raise StoreError(
                f"enrolled with another recogniser ({', '.join(s[:12] for s in sorted(strange))}; "
                f"this one is {self._digest[:12]}): name that one, or run `watchlist reembed` to change to this one"
            )
        rows, identities = self._people.active_photos()
        if self._people.reembed_count() != self._reembedded or len(rows) > MAX_FLOAT32_PHOTOS >= len(self._rows):
            self._rows, self._index, self._reembedded = np.zeros(0, np.int64), None, self._people.reembed_count()
        gone = ~np.isin(self._rows, rows)
        if gone.any():
            import faiss

            self._index.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(gone)))  # type: ignore[union-attr]
        new = rows[~np.isin(rows, self._rows)]
        for start in range(0, len(new), 50_000):
            self._add(self._people.photo_embeddings(new[start : start + 50_000]), len(rows))
        self._rows = np.concatenate([self._rows[~gone], new])
        order = np.argsort(rows)
        self._identities = identities[order][np.searchsorted(rows[order], self._rows)]
        self._names = self._people.names()
        self._list_size = list_length(self._identities)
        self._generation = generation

    def nearest(self, vectors: NDArray[np.float32]) -> list[Candidate | None]:
        """Find the best candidate for each probe.

        Args:
            vectors: embeddings float32 (M, D), unit length.

        Returns:
            M candidates; None for each probe if nobody is enrolled.
        """
        if not len(self):
            return [None] * len(vectors)
        check_dimension(vectors, self._index, self._people.path)
        scores, places = self._index.search(np.ascontiguousarray(vectors, np.float32), 1)  # type: ignore[union-attr]
        found = self._identities[places[:, 0]]
        return [
            Candidate(int(identity), self._names[int(identity)], float(score))
            for identity, score in zip(found, scores[:, 0], strict=True)
        ]

    def nearest_other(self, vector: NDArray[np.float32], own: int | None) -> Candidate | None:
        """Find the best candidate other than one person, among the `NEIGHBOURS` nearest photos.

        Args:
            vector: embedding float32 (D,), unit length.
            own: id of the person to leave out; None: nobody.
        """
        return next((found for found in self._people_near(vector) if found.identity != own), None)

    def nearest_people(self, vector: NDArray[np.float32], count: int = 5) -> list[Candidate]:
        """Find the nearest people, best first, among the `NEIGHBOURS` nearest photos.

        Args:
            vector: embedding float32 (D,), unit length.
            count: largest number of people.
        """
        return list(islice(self._people_near(vector), count))

    def _people_near(self, vector: NDArray[np.float32]) -> Iterator[Candidate]:
        """Yield each person once, nearest first."""
        if self._index is None or not len(self):
            return
        check_dimension(vector[None], self._index, self._people.path)
        scores, places = self._index.search(np.ascontiguousarray(vector[None], np.float32), min(NEIGHBOURS, len(self)))
        seen: set[int] = set()
        for score, place in zip(scores[0], places[0], strict=True):
            identity = int(self._identities[place])
            if identity not in seen:
                seen.add(identity)
                yield Candidate(identity, self._names[identity], float(score))

    def _add(self, vectors: NDArray[np.float32], in_all: int) -> None:
        check_dimension(vectors, self._index, self._people.path)
        if self._index is None:
            self._index = new_index(vectors.shape[1], in_all)
        self._index.add(np.ascontiguousarray(vectors))


def list_length(identities: NDArray[np.int64]) -> float:
    """The effective list size: the number of people with one photo each who would raise as many false alarms.

    Args:
        identities: id int64 (N,) of the person in each photo.
    """
    return float((np.unique(identities, return_counts=True)[1] ** PHOTO_POWER).sum())


def check_dimension(vectors: NDArray[np.float32], index: faiss.Index | None, path: Path) -> None:
    """Raise StoreError if probes (M, D) and the index have different dimensions."""
    if index is not None and vectors.shape[1] != index.d:
        raise StoreError(f"{path}: damaged (embeddings of {index.d} values, asked for one of {vectors.shape[1]})")


def new_index(dimension: int, count: int) -> faiss.Index:
    """An empty exact inner-product index for ``count`` embeddings: float32, or float16 above `MAX_FLOAT32_PHOTOS`."""
    import faiss

    if count <= MAX_FLOAT32_PHOTOS:
        return faiss.IndexFlatIP(dimension)
    return faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
