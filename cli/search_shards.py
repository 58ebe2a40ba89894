"""Search several databases in parallel, one actor each, and merge their hits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.ray.cluster import Cluster, on_this_machine
from pipeline.ray.environment import RayError, ray
from watchlist.database import StoreError
from watchlist.search_back import DatabaseTracks, ScoredRow
from watchlist.store import Store
from watchlist.tracks import TrackFilter


class ShardActor:
    """Holds the index of one database."""

    def __init__(self, path: Path, digest: str) -> None:
        self._path, self._past = path, DatabaseTracks(Store(path), digest)

    def nearest(self, vectors: NDArray[np.float32], top: int, where: TrackFilter | None) -> tuple[list[ScoredRow], int]:
        hits, compared = self._past.nearest(vectors, top, where)
        return [({**row, "db": str(self._path.parent)}, score) for row, score in hits], compared


class Shards:
    """Several databases searched as one. The key ``db`` of a hit's row names its database."""

    def __init__(self, paths: list[Path], digest: str) -> None:
        self._cluster = Cluster()
        actor = ray.remote(ShardActor).options(scheduling_strategy=on_this_machine())
        self._actors = [actor.remote(path.resolve(), digest) for path in paths]

    def nearest(self, vectors: NDArray[np.float32], top: int, where: TrackFilter | None) -> tuple[list[ScoredRow], int]:
        try:
            answers = ray.get([actor.nearest.remote(vectors, top, where) for actor in self._actors])
        except RayError as error:
            raise StoreError(str(error).strip().splitlines()[-1]) from None
        hits = sorted((hit for found, _ in answers for hit in found), key=lambda hit: -hit[1])
        return hits[:top], sum(compared for _, compared in answers)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._cluster.close()
