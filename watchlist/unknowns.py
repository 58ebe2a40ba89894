"""Group tracks of people who are not on the list by similarity of templates. A group is a suggestion, not a sighting."""

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

MAX_TRACKS = 20_000  # the newest tracks are compared
PAIR_FPIR = 1e-3  # rate at which a track may be joined to tracks of strangers
NEIGHBOURS = 30  # nearest templates considered for each track
MIN_QUALITY = 0.4  # lowest quality of a track, 0 to 1
MIN_PX = 16.0  # smallest face width in pixels


@dataclass(frozen=True)
class UnknownGroup:
    """Tracks that probably show one person who is not on the list, newest first.

    Attributes:
        tracks: source and name of each track.
        first, last: Unix times at which the first and the last track began; None if no time of day is known.
        likeness: lowest cosine of a track to the mean of the group.
        ignored: whether any of the tracks is on the ignore list.
    """

    tracks: tuple[tuple[str, str], ...]
    first: float | None
    last: float | None
    likeness: float
    ignored: bool = False


class Ignored(Database):
    """The ignore list: tracks of unknown people that are no longer suggested. An entry is deleted with its track."""

    def ignore_tracks(self, tracks: list[tuple[str, str]]) -> None:
        """Put tracks on the ignore list."""
        with self.transaction():
            self._db.executemany(
                "INSERT OR IGNORE INTO ignored (source, track, user, at) VALUES (?, ?, ?, ?)",
                [(source, track, self.user, time.time()) for source, track in tracks],
            )
            self.log_audit("unknown ignored", tracks=len(tracks))

    def heed_tracks(self, tracks: list[tuple[str, str]]) -> None:
        """Remove tracks from the ignore list."""
        with self.transaction():
            self._db.executemany("DELETE FROM ignored WHERE source = ? AND track = ?", tracks)
            self.log_audit("unknown heeded", tracks=len(tracks))

    def ignored_tracks(self) -> set[tuple[str, str]]:
        return {(str(row[0]), str(row[1])) for row in self._db.execute("SELECT source, track FROM ignored")}

    def unmatched_templates(
        self, limit: int, sources: tuple[str, ...] | None = None
    ) -> list[tuple[str, str, bytes, float, float | None, str]]:
        """Read the newest finished tracks without a match whose quality and face width suffice for comparison.

        Args:
            limit: largest number of tracks.
            sources: only these sources; None: all.

        Returns:
            Source, name, template (float16 bytes), face width in pixels, start as Unix time (None if unknown) and recogniser.
        """
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
    """Group the tracks of people who are not on the list.

    Two groups are joined if a pair of their tracks, and the means of the groups, pass the threshold for `PAIR_FPIR` in a search
    over all compared tracks. The condition on the means prevents chains of similar faces from one person to another.

    Args:
        store: the database.
        thresholds: of the recogniser ``digest``.
        digest: digest of the recogniser; templates of others are left out.
        sources: only these sources; None: all.
        least: smallest number of tracks in a group.

    Returns:
        The groups, largest first.
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
    """Label each vector (N, D) with its group: join pairs, highest cosine first, if the means of their groups are similar."""
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
