"""People who were seen on several tracks and are on no list, grouped by likeness. A group is a suggestion, never a sighting."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from watchlist.database import Database
from watchlist.thresholds import Thresholds

if TYPE_CHECKING:
    from watchlist.store import Store

MAX_TRACKS = 20_000  # the newest ones that are compared
PAIR_FPIR = 1e-3  # how seldom a track may join a group of strangers
NEIGHBOURS = 30
MIN_QUALITY = 0.4
MIN_PX = 16.0


@dataclass(frozen=True)
class UnknownGroup:
    """Tracks that look like one person who is on no list, the newest first.

    Attributes:
        tracks: source and name of each.
        first, last: Unix times of the first and the last; None where no hour is known.
        likeness: the least cosine by which a track belongs to the group.
        ignored: whether somebody has put one of the tracks on the ignore list.
    """

    tracks: tuple[tuple[str, str], ...]
    first: float | None
    last: float | None
    likeness: float
    ignored: bool = False


class Ignored(Database):
    """The ignore list: tracks of unknown people who are not to be suggested again. It ends with the tracks."""

    def ignore_tracks(self, tracks: list[tuple[str, str]]) -> None:
        """Ignore a group, by its tracks."""
        with self.transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO ignored (source, track, user, at) VALUES (?, ?, ?, ?)",
                [(source, track, self.user, time.time()) for source, track in tracks],
            )
            self.log_audit("unknown ignored", tracks=len(tracks))

    def heed_tracks(self, tracks: list[tuple[str, str]]) -> None:
        """Take tracks off the ignore list."""
        with self.transaction():
            self._db.executemany("DELETE FROM ignored WHERE source = ? AND track = ?", tracks)
            self.log_audit("unknown heeded", tracks=len(tracks))

    def ignored_tracks(self) -> set[tuple[str, str]]:
        return {(str(row[0]), str(row[1])) for row in self._db.execute("SELECT source, track FROM ignored")}

    def unmatched_templates(
        self, limit: int, sources: tuple[str, ...] | None = None
    ) -> list[tuple[str, str, bytes, float, float | None, str]]:
        """The newest finished tracks without a match that are good enough to compare: source, name, template, face width, Unix
        time (None where it is not known) and recogniser."""
        seen = "" if sources is None else "AND t.source IN (SELECT value FROM json_each(:sources))"
        rows = self._db.execute(
            "SELECT t.source, t.track, t.template, t.face_px, t.started_at, t.recognizer FROM templates p "
            "JOIN tracks t USING (source, track) WHERE t.outcome = 'no_match' AND t.quality >= :quality AND t.face_px >= :px "
            f"{seen} ORDER BY p.id DESC LIMIT :most",
            {
                "most": limit,
                "quality": MIN_QUALITY,
                "px": MIN_PX,
                "sources": None if sources is None else json.dumps(sources),
            },
        )
        return [tuple(row) for row in rows]


def group_unknowns(
    store: Store, thresholds: Thresholds, digest: str, sources: tuple[str, ...] | None = None, least: int = 2
) -> list[UnknownGroup]:
    """Group the tracks of people on no list.

    Two tracks are of one group if their cosine passes the threshold that holds a search among as many tracks to `PAIR_FPIR`. A
    group grows by average linkage: a track joins where it is that near to the mean of the group, so that no chain of likenesses
    leads from one person to another.

    Args:
        thresholds: of the recogniser ``digest``.
        sources: only tracks of these.
        least: how many tracks make a group.

    Returns:
        Groups, those with the most tracks first.
    """
    rows = [row for row in store.unmatched_templates(MAX_TRACKS, sources) if row[5] == digest]
    if len(rows) < least:
        return []
    vectors = np.stack([np.frombuffer(row[2], np.float16) for row in rows]).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-6)
    needs = np.array([thresholds.cosine(PAIR_FPIR, len(rows), row[3]) for row in rows], np.float32)
    labels = _linked(vectors, needs)
    ignored = store.ignored_tracks()
    members: dict[int, list[int]] = {}
    for row, label in enumerate(labels):
        members.setdefault(label, []).append(row)
    groups = [_group(rows, vectors, found, ignored) for found in members.values() if len(found) >= least]
    return sorted(groups, key=lambda group: (-len(group.tracks), -(group.last or 0.0)))


def _linked(vectors: NDArray[np.float32], needs: NDArray[np.float32]) -> list[int]:
    """A label for each vector (N, D): pairs are joined, the likest first, where their groups' means are like enough."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    scores, places = index.search(vectors, min(NEIGHBOURS, len(vectors)))
    pairs = [
        (float(score), row, int(other))
        for row in range(len(vectors))
        for score, other in zip(scores[row], places[row], strict=True)
        if other > row and score >= max(needs[row], needs[other])
    ]
    label = list(range(len(vectors)))
    sums = {row: vectors[row].copy() for row in range(len(vectors))}
    rows = {row: [row] for row in range(len(vectors))}
    for _, first, second in sorted(pairs, reverse=True):
        a, b = label[first], label[second]
        if a == b:
            continue
        near = float(sums[a] @ sums[b] / (np.linalg.norm(sums[a]) * np.linalg.norm(sums[b])))
        if near < max(needs[first], needs[second]):
            continue
        for row in rows[b]:
            label[row] = a
        rows[a] += rows.pop(b)
        sums[a] += sums.pop(b)
    return label


def _group(
    rows: list[tuple[str, str, bytes, float, float | None, str]],
    vectors: NDArray[np.float32],
    members: list[int],
    ignored: set[tuple[str, str]],
) -> UnknownGroup:
    mean = vectors[members].mean(0)
    mean /= np.linalg.norm(mean)
    names = tuple((rows[row][0], rows[row][1]) for row in members)
    times = [at for row in members if (at := rows[row][4]) is not None]
    likeness = float((vectors[members] @ mean).min())
    return UnknownGroup(
        names, min(times, default=None), max(times, default=None), likeness, any(name in ignored for name in names)
    )
