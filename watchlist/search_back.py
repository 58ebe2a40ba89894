"""Search back: where was this person, over every track of the past, matched or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from watchlist.database import StoreError
from watchlist.store import Store
from watchlist.template_index import TemplateIndex
from watchlist.thresholds import Thresholds
from watchlist.tracks import TrackFilter

ScoredRow = tuple[dict[str, Any], float]  # a track's columns, and its cosine


@dataclass(frozen=True)
class TrackHit:
    """One track of the past: ``row`` its columns, ``score`` the cosine, ``threshold`` the one a match needs at ``fpir``."""

    row: dict[str, Any]
    score: float
    threshold: float
    fpir: float

    @property
    def outcome(self) -> str:
        if self.row["outcome"] == "not_assessable":
            return "not_assessable"
        return "match" if self.score >= self.threshold else "no_match"


class SearchableTracks(Protocol):
    """Tracks that can be searched."""

    def nearest(self, vectors: NDArray[np.float32], top: int, where: TrackFilter | None) -> tuple[list[ScoredRow], int]:
        """The ``top`` tracks nearest to any of the vectors (M, D), best first, and how many were compared."""
        ...


class DatabaseTracks:
    """The past of one database. Raises StoreError if another recogniser than ``digest`` made it."""

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
    """Answers questions about the past."""

    def __init__(self, past: SearchableTracks, thresholds: Thresholds) -> None:
        self._past, self._thresholds = past, thresholds

    def search(
        self, vectors: NDArray[np.float32], top: int = 20, fpir: float = 0.01, where: TrackFilter | None = None
    ) -> tuple[list[TrackHit], int]:
        """The tracks nearest to any of the vectors (M, D), best first, and how many were compared.

        ``fpir`` is the rate of false alarms for the whole search: the more tracks are compared, the more a match needs.
        """
        hits, compared = self._past.nearest(vectors, top, where)
        chances = max(1, compared * len(vectors))
        return [
            TrackHit(row, score, self._thresholds.cosine(fpir, chances, row["face_px"]), fpir) for row, score in hits
        ], compared
