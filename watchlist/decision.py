"""Decide finished tracks again after the watchlist, the thresholds or the FPIR has changed."""

from __future__ import annotations

import numpy as np

from watchlist.database import StoreError
from watchlist.gallery import Gallery
from watchlist.static_tracks import is_comparable, outcome_of
from watchlist.store import Store
from watchlist.thresholds import Thresholds


def redecide_tracks(store: Store, digest: str, thresholds: Thresholds, fpir: float) -> int:
    """Compare the stored template of every assessable finished track with the current list, and update the decisions.

    Args:
        store: the run's database.
        digest: the recogniser that made list and templates.
        thresholds: of that recogniser.
        fpir: false alarms allowed per passer-by.

    Returns:
        How many outcomes or names changed.

    Raises:
        StoreError: the list or the templates are of another recogniser.
    """
    strange = store.recognizers() - {digest}
    if strange:
        raise StoreError(f"{store.path}: its tracks were made with another recogniser than this one ({digest[:12]})")
    gallery = Gallery(store, digest)
    rows = [row for row in store.tracks() if row["template"] is not None and is_comparable(row)]
    if not rows or not len(gallery):
        return 0
    vectors = np.stack([np.frombuffer(row["template"], np.float16) for row in rows]).astype(np.float32)
    changed = 0
    for row, candidate in zip(rows, gallery.nearest(vectors), strict=True):
        assert candidate is not None  # somebody is enrolled
        outcome, threshold = thresholds.decide(candidate.score, fpir, len(gallery), row["face_px"])
        outcome = outcome_of(outcome, row["reasons"])
        matched = outcome == "match"
        before = row["outcome"], row["identity"], row["name"]
        row |= {
            "outcome": outcome,
            "identity": candidate.identity if matched else None,
            "name": candidate.name if matched else None,
            "nearest": candidate.name,
            "score": candidate.score,
            "threshold": threshold,
            "fpir": fpir,
        }
        changed += before != (row["outcome"], row["identity"], row["name"])
    store.put_decisions(rows)
    return changed
