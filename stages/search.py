"""Searches each template in the watchlist and decides: match, no match, or not assessable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.protocol import Batch
from stages.records import Sighting, Template
from stages.storage_retry import with_retries
from watchlist.static_tracks import STATIC, outcome_of


class Search:
    """Compares each template with all active identities. Changes of the watchlist apply to the next batch.

    Args:
        database: the database with the watchlist.
        fpir: false alarms allowed per passer-by, 0..1, however often a live track is looked at. Raising it lowers the threshold:
            more matches, more false alarms.
        min_quality: templates of lower quality are not assessable, 0..1. Raising it gives fewer wrong decisions and more tracks
            that are not assessable.
        recognizer: the recogniser of the templates; None for the project's own.
        keep_trying: retry while the database cannot be read, and count each failure. False: it is an error.
    """

    def __init__(
        self,
        database: Path,
        fpir: float = 0.01,
        min_quality: float = 0.1,
        recognizer: str | None = None,
        keep_trying: bool = False,
    ) -> None:
        self._database, self._fpir, self._min_quality, self._recognizer = database, fpir, min_quality, recognizer
        self._keep_trying = keep_trying
        self._trouble: Counter[str] = Counter()

    def open(self) -> None:
        from models import recognizer_card

        self._card = recognizer_card(self._recognizer)
        self._with_retries(self._load)

    def process(self, batch: Batch) -> Batch:
        self._with_retries(self._refresh)
        embeddings = [t.embedding for t in batch if t.embedding is not None]
        candidates = iter(self._gallery.nearest(np.stack(embeddings)) if embeddings else [])
        return [self._decide(t, next(candidates) if t.embedding is not None else None) for t in batch]

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._store.close()

    def _with_retries(self, read: Callable[[], None]) -> None:
        if self._keep_trying:
            with_retries(read, True, self._database, self._trouble, "reading the watchlist")
        else:
            read()

    def _load(self) -> None:
        from watchlist.gallery import Gallery
        from watchlist.store import Store

        self._store = Store(self._database)
        self._generation = self._store.list_version()
        self._gallery = Gallery(self._store, self._card["sha256"])
        self._thresholds = self._store.thresholds(self._card)

    def _refresh(self) -> None:
        """Reload the watchlist if it has changed."""
        from watchlist.database import StoreError

        generation = self._store.list_version()
        if generation == self._generation:
            return
        self._thresholds = self._store.thresholds(self._card)
        try:
            self._gallery.update()
        except StoreError as error:  # the search goes on with the watchlist as it was
            self._trouble[f"trouble: watchlist: {error}"] += 1
        self._generation = generation  # only now: after any other error the next batch tries again

    def counters(self) -> dict[str, int]:
        return dict(self._trouble)

    def _decide(self, template: Template, candidate: object) -> Sighting:
        from watchlist.gallery import Candidate

        track = template.track
        best = track.shots[0] if track.shots else track.rejected
        face_px = best.face_px if best else 0.0
        refusals = (*((STATIC,) if track.static else ()), *(f"{name}: {count}" for name, count in sorted(track.reasons.items())))
        if template.embedding is None or template.quality < self._min_quality:
            why = "no_usable_shot" if not track.shots else f"low_quality: {template.quality:.2f}"
            return Sighting(template, "not_assessable", None, None, None, None, self._fpir, face_px, (why, *refusals))
        if not isinstance(candidate, Candidate):
            outcome = outcome_of("no_match", refusals)
            return Sighting(template, outcome, None, None, None, None, self._fpir, face_px, ("empty_watchlist", *refusals))
        live = track.epoch is not None  # alerted at the first look that matches: the rate is that of all looks together
        outcome, threshold = self._thresholds.decide(
            candidate.score, self._fpir, self._gallery.list_size, face_px, len(track.shots), live
        )
        outcome = outcome_of(outcome, refusals)
        return Sighting(
            template, outcome, candidate.identity, candidate.name, candidate.score, threshold, self._fpir, face_px, refusals
        )
