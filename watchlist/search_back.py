"""Search past tracks, matched or not, for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from watchlist.database import StoreError
from watchlist.static_tracks import is_comparable, outcome_of
from watchlist.store import Store
from watchlist.template_index import TemplateIndex
from watchlist.thresholds import Thresholds
from watchlist.tracks import TrackFilter

ScoredRow = tuple[dict[str, Any], float]  # a track's columns, and its cosine


@dataclass(frozen=True)
class TrackHit:
    """A past track that a search found.

    Attributes:
        row: the track's columns.
        score: cosine of the probe to the track's template.
        threshold: cosine that a match needs at ``fpir``.
        fpir: false-alarm rate of the whole search.
    """

    row: dict[str, Any]
    score: float
    threshold: float
    fpir: float

    @property
    def outcome(self) -> str:
        if not is_comparable(self.row):
            return "not_assessable"
        return outcome_of("match" if self.score >= self.threshold else "no_match", self.row["reasons"])


class SearchableTracks(Protocol):
    """A collection of tracks that can be searched: one database, or several shards."""

    def nearest(self, vectors: NDArray[np.float32], top: int, where: TrackFilter | None) -> tuple[list[ScoredRow], int]:
        """The ``top`` tracks nearest to any of the vectors (M, D), best first, and how many were compared."""
        ...


class DatabaseTracks:
    """The tracks of one database. Raises StoreError if a recogniser other than ``digest`` made its templates."""

    def __init__(self, store: Store, digest: str) -> None:
        strange = store.recognizers() - {digest}
        if strange:
            raise StoreError(
                f"{store.path}: its templates were made by another recogniser than this one ({digest[:12]}): name that one"
            )
        self._store, self._projection = store, TemplateIndex(store)

    def nearest(self, vectors: NDArray[np.float32], top: int, where: TrackFilter | None) -> tuple[list[ScoredRow], int]:
        among = None if where is None or where == TrackFilter() else self._store.template_ids(where)
        ids, scores = self._projection.nearest(vectors, top, among)
        rows = {row["template_id"]: row for row in self._store.tracks_of_templates(ids)}
        hits = [(rows[i], score) for i, score in zip(ids, scores, strict=True) if i in rows]
        return hits, len(self._projection) if among is None else len(among)


class TrackSearch:
    """Ranks past tracks by their cosine to a probe, and decides which are matches.

    Example:
        >>> search = TrackSearch(DatabaseTracks(store, recognizer.digest), store.thresholds(card))
        >>> hits, compared = search.search(embedding[None], top=20, fpir=0.01)
    """

    def __init__(self, past: SearchableTracks, thresholds: Thresholds) -> None:
        self._past, self._thresholds = past, thresholds

    def search(
        self, vectors: NDArray[np.float32], top: int = 20, fpir: float = 0.01, where: TrackFilter | None = None
    ) -> tuple[list[TrackHit], int]:
        """Search for a person.

        Args:
            vectors: probe embeddings, float32 (M, D), unit length; a track's score is its best cosine to any of them.
            top: number of tracks to return at most.
            fpir: false alarms allowed for the whole search, 0 to 1. More tracks compared, or a lower rate: a higher threshold.
            where: which tracks to compare; None: all.

        Returns:
            Hits, highest cosine first, and the number of tracks compared.

        Raises:
            StoreError: the embeddings do not fit the templates, or the database is damaged.
        """
        hits, compared = self._past.nearest(vectors, top, where)
        chances = max(1, compared * len(vectors))
        return [
            TrackHit(row, score, self._thresholds.cosine(fpir, chances, row["face_px"]), fpir) for row, score in hits
        ], compared
