"""Search back: where was this person, over every track of the past, matched or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.database import StoreError
from watchlist.projection import Projection
from watchlist.store import Store
from watchlist.thresholds import Thresholds
from watchlist.tracks import Where


@dataclass(frozen=True)
class Found:
    """One track of the past: ``row`` its columns, ``score`` the cosine, ``threshold`` the one a match needs at ``fpir``."""

    row: dict[str, Any]
    score: float
    threshold: float
    fpir: float

    @property
    def outcome(self) -> str:
        return "match" if self.score >= self.threshold else "no_match"


class LookBack:
    """Answers questions about the past of one database. Raises StoreError if another recogniser than ``digest`` made it."""

    def __init__(self, store: Store, digest: str, thresholds: Thresholds) -> None:
        strange = store.recognizers() - {digest}
        if strange:
            raise StoreError(f"{store.path}: its templates were made by another recogniser than this one ({digest[:12]})")
        self._store, self._thresholds = store, thresholds
        self._projection = Projection(store)

    def search(
        self, vectors: NDArray[np.float32], top: int = 20, fpir: float = 0.01, where: Where | None = None
    ) -> tuple[list[Found], int]:
        """The tracks nearest to any of the vectors (M, D), best first, and how many were compared.

        ``fpir`` is the rate of false alarms for the whole search: the more tracks are compared, the more a match needs.
        """
        among = None if where is None or where == Where() else self._store.searchable(where)
        ids, scores = self._projection.nearest(vectors, top, among)
        compared = len(self._projection) if among is None else len(among)
        chances = max(1, compared * len(vectors))
        rows = {row["template_id"]: row for row in self._store.of_ids(ids)}
        found = [
            Found(rows[i], score, self._thresholds.cosine(fpir, chances, rows[i]["face_px"]), fpir)
            for i, score in zip(ids, scores, strict=True)
            if i in rows
        ]
        return found, compared
