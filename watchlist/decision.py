"""Recompute the decisions of finished tracks after the watchlist, the thresholds or the FPIR has changed."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from watchlist.database import StoreError
from watchlist.gallery import Gallery
from watchlist.static_tracks import is_comparable, outcome_of
from watchlist.store import Store
from watchlist.thresholds import Thresholds

BLOCK = 20_000  # photos read per query


def decision_digest(store: Store, thresholds: Thresholds, fpir: float) -> str:
    """A hash of everything besides the template that a decision depends on: the active photos, the thresholds and the FPIR."""
    total = hashlib.sha256(json.dumps([fpir, [entry.as_entry() for entry in thresholds.entries()]]).encode())
    photos, identities = store.active_photos()
    names = store.names()
    for start in range(0, len(photos), BLOCK):
        ids, owners = photos[start : start + BLOCK], identities[start : start + BLOCK]
        total.update(json.dumps([[int(i), names[int(i)]] for i in owners]).encode() + store.photo_embeddings(ids).tobytes())
    return total.hexdigest()


def redecide_tracks(store: Store, digest: str, thresholds: Thresholds, fpir: float) -> int:
    """Compare the stored templates of all assessable finished tracks with the current list, and update the decisions.

    The stored template is the one of the first decision (`stages.aggregate`). Decisions change only if the list, the thresholds
    or the FPIR have changed.

    Args:
        store: the run's database.
        digest: of the recogniser that made the list and the templates.
        thresholds: of the same recogniser.
        fpir: false alarms allowed per passer-by, above 0, below 1. Lower: higher thresholds and more misses.

    Returns:
        Number of tracks whose outcome or name changed.

    Raises:
        StoreError: the list or a template was made by another recogniser.
    """
    strange = store.recognizers() - {digest}
    if strange:
        raise StoreError(f"{store.path}: its tracks were made with another recogniser than this one ({digest[:12]})")
    rows = [row for row in store.tracks() if row["template"] is not None and is_comparable(row)]
    if not rows:
        return 0
    gallery = Gallery(store, digest)
    if not len(gallery):
        return 0
    vectors = np.stack([np.frombuffer(row["template"], np.float16) for row in rows]).astype(np.float32)
    changed = 0
    for row, candidate in zip(rows, gallery.nearest(vectors), strict=True):
        assert candidate is not None  # somebody is enrolled
        outcome, threshold = thresholds.decide(candidate.score, fpir, gallery.list_size, row["face_px"], row["shots"])
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
