"""The index over the watchlist: a projection of the database that can always be rebuilt."""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from watchlist.database import StoreError
from watchlist.people import Enrolment


@dataclass(frozen=True)
class Candidate:
    """The person nearest to a probe, and the cosine."""

    identity: int
    name: str
    score: float


class Gallery:
    """Exact inner-product search over every enrolled photo; a person's score is that of the nearest photo.

    Raises StoreError when the vectors were made by another recogniser than ``digest``.
    """

    def __init__(self, enrolments: list[Enrolment], digest: str) -> None:
        strange = {e.recognizer for e in enrolments} - {digest}
        if strange:
            raise StoreError(
                f"enrolled with another recogniser ({', '.join(s[:12] for s in sorted(strange))}; "
                f"this one is {digest[:12]}): run `watchlist reembed`"
            )
        self._enrolments = enrolments
        self._index = faiss.IndexFlatIP(len(enrolments[0].vector)) if enrolments else None
        if self._index is not None:
            self._index.add(np.stack([e.vector for e in enrolments]))

    def __len__(self) -> int:
        return len(self._enrolments)

    def nearest(self, vectors: NDArray[np.float32]) -> list[Candidate | None]:
        """For each probe (M, D) the best candidate, or None when nobody is enrolled."""
        if self._index is None:
            return [None] * len(vectors)
        scores, rows = self._index.search(np.ascontiguousarray(vectors, np.float32), 1)
        found: list[Candidate | None] = []
        for score, row in zip(scores[:, 0], rows[:, 0], strict=True):
            person = self._enrolments[int(row)]
            found.append(Candidate(person.identity, person.name, float(score)))
        return found
