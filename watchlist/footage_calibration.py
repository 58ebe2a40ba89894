"""Thresholds fitted to tracks of footage that shows nobody on the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from watchlist.calibration import Fit, fit_to_footage, group_people
from watchlist.database import StoreError
from watchlist.gallery import Gallery
from watchlist.row_checks import checked_embedding, stack_embeddings
from watchlist.store import Store
from watchlist.thresholds import Thresholds

MAX_TRACKS = 5000  # every pair is compared to find tracks of one person


@dataclass(frozen=True)
class FootageFit:
    """Thresholds fitted to footage.

    Attributes:
        bins: entries for `watchlist.store.Store.put_calibration`.
        fits: one for each range of face widths.
        tracks: number of tracks compared.
        people: number of people in them, estimated from their embeddings.
    """

    bins: list[dict[str, Any]]
    fits: list[Fit]
    tracks: int
    people: int

    @property
    def unchanged(self) -> bool:
        """Whether the footage gives no better thresholds at any face width."""
        return all(fit.kept for fit in self.fits)


def usable_tracks(rows: Sequence[dict[str, Any]], recognizer: str) -> list[dict[str, Any]]:
    """The assessable tracks with a template of this recogniser, at most `MAX_TRACKS`, evenly spaced."""
    tracks = [
        row
        for row in rows
        if row["template"] is not None and row["outcome"] != "not_assessable" and row["recognizer"] == recognizer
    ]
    if len(tracks) <= MAX_TRACKS:
        return tracks
    return [tracks[int(k * len(tracks) / MAX_TRACKS)] for k in range(MAX_TRACKS)]


def fit_to_tracks(store: Store, card: dict[str, Any], tracks: Sequence[dict[str, Any]], path: Path) -> FootageFit:
    """Fit the thresholds of a list to tracks of strangers.

    Args:
        store: database of the list.
        card: the recogniser's card.
        tracks: rows of `usable_tracks`.
        path: database of the tracks, for messages.

    Raises:
        StoreError: no tracks, no photos, or a damaged template.
    """
    gallery = Gallery(store, card["sha256"])
    if not tracks or not len(gallery):
        raise StoreError(f"calibrate: {len(tracks)} tracks and {len(gallery)} photos of this recogniser; both are needed")
    templates = [checked_embedding(t["template"], np.float16, path, f"the track {t['source']}/{t['track']}") for t in tracks]
    vectors = stack_embeddings(templates, path, "tracks")
    face_px = np.array([t["face_px"] for t in tracks], np.float32)
    shots = np.array([t["shots"] for t in tracks], np.intp)
    person = group_people(vectors, face_px, Thresholds(card["impostors"]))
    highest = np.array([found.score for found in gallery.nearest(vectors) if found is not None], np.float32)
    bins, fits = fit_to_footage(card["impostors"], highest, face_px, shots, person, gallery.list_size)
    return FootageFit(bins, fits, len(tracks), len(set(person.tolist())))
