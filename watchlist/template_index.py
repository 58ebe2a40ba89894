"""The FAISS index over track templates: files beside the database that can be rebuilt at any time."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from watchlist.gallery import check_dimension
from watchlist.tracks import Tracks

PART = 20_000  # vectors converted at once
MIN_SAVED_TEMPLATES = 20_000  # fewer templates are read from the database as quickly as from a file


def index_folder(store: Tracks) -> Path:
    """Where a database's index lies."""
    return store.path.with_name(store.path.name + ".templates")


class TemplateIndex:
    """Exact inner-product search (float16, as the templates are kept) over the templates of a database, brought up to date
    when it is made: new templates are added, and after a purge it is made anew, so that what was deleted is not in it."""

    def __init__(self, store: Tracks) -> None:
        self._folder, self._path = index_folder(store), store.path
        self.ids, self._index, purged = self._load()
        now = store.purge_count()
        if self._index is not None and purged != now:
            self.ids, self._index = np.zeros(0, np.int64), None
        ids, vectors = store.templates(int(self.ids[-1]) if len(self.ids) else 0)
        if self._index is not None and len(ids) and vectors.shape[1] != self._index.d:  # not of this database
            self.ids, self._index = np.zeros(0, np.int64), None
            ids, vectors = store.templates(0)
        if len(ids):
            if self._index is None:
                self._index = _empty(vectors.shape[1])
            self._index.add(vectors.astype(np.float32))
            self.ids = np.concatenate([self.ids, ids])
        can_write = not getattr(store, "read_only", False)
        if can_write and (len(ids) or purged != now) and (len(self.ids) >= MIN_SAVED_TEMPLATES or self._folder.exists()):
            self._save(now)

    def __len__(self) -> int:
        return len(self.ids)

    def nearest(
        self, vectors: NDArray[np.float32], top: int, among: NDArray[np.int64] | None = None
    ) -> tuple[list[int], list[float]]:
        """Ids and cosines of the ``top`` templates nearest to any of the vectors (M, D), best first; ``among`` only these ids."""
        if self._index is None or (among is not None and not len(among)):
            return [], []
        check_dimension(vectors, self._index, self._path)
        parameters = None
        if among is not None:
            chosen = np.isin(self.ids, among)
            selector = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))  # type: ignore[call-arg, arg-type]
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        scores, rows = self._index.search(np.ascontiguousarray(vectors, np.float32), min(top, len(self.ids)), params=parameters)
        best: dict[int, float] = {}
        for score, row in zip(scores.ravel(), rows.ravel(), strict=True):
            if row >= 0:
                found = int(self.ids[row])
                best[found] = max(float(score), best.get(found, -1.0))
        ranked = sorted(best, key=lambda i: -best[i])[:top]
        return ranked, [best[i] for i in ranked]

    def _load(self) -> tuple[NDArray[np.int64], faiss.IndexScalarQuantizer | None, int]:
        """What an earlier process has left, or nothing where it is not whole. Arrays are read, not FAISS's own files: these may
        name other files, which the library then opens."""
        nothing = np.zeros(0, np.int64), None, -1
        if self._folder.is_symlink():
            return nothing
        try:
            state = json.loads((self._folder / "state.json").read_text())
            if not re.fullmatch(r"[\d-]+", state["name"]) or not isinstance(state["purged"], int):
                raise ValueError("written by nobody who writes here")
            ids, vectors = (
                np.load(self._folder / f"{what}-{state['name']}.npy", mmap_mode="r") for what in ("ids", "vectors")
            )  # mapped, so that a size that is not true takes no memory
            if ids.dtype != np.int64 or vectors.dtype != np.float16 or ids.ndim != 1 or vectors.ndim != 2 or not vectors.size:
                raise ValueError("arrays of another kind")
            if len(ids) != len(vectors) or not (np.diff(ids) > 0).all():
                raise ValueError("ids that do not fit")
            return np.array(ids), _index_of(vectors), int(state["purged"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, EOFError, SyntaxError):
            return nothing

    def _save(self, purged: int) -> None:
        """Write beside what is there, then switch; a process killed in between leaves the old one in use."""
        if self._folder.is_symlink():  # what lies there is not ours
            return
        self._folder.mkdir(exist_ok=True)
        name = f"{int(self.ids[-1]) if len(self.ids) else 0}-{purged}-{os.getpid()}"
        np.save(self._folder / f"ids-{name}.npy", self.ids)
        if self._index is not None:
            codes = faiss.rev_swig_ptr(self._index.codes.data(), self._index.codes.size())
            np.save(self._folder / f"vectors-{name}.npy", codes.view(np.float16).reshape(len(self.ids), self._index.d))
        part = self._folder / f"state-{os.getpid()}.part"
        part.write_text(json.dumps({"name": name, "purged": purged}))
        part.replace(self._folder / "state.json")
        for path in self._folder.iterdir():
            if path.name != "state.json" and name not in path.name:
                path.unlink(missing_ok=True)


def _empty(size: int) -> faiss.IndexScalarQuantizer:
    return faiss.IndexScalarQuantizer(size, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)


def _index_of(vectors: NDArray[np.float16]) -> faiss.IndexScalarQuantizer:
    """An index over vectors float16 (N, D). Raises ValueError where they hold what is no number."""
    index = _empty(vectors.shape[1])
    for start in range(0, len(vectors), PART):
        part = vectors[start : start + PART].astype(np.float32)
        if not np.isfinite(part).all():
            raise ValueError("vectors that are none")
        index.add(part)
    return index
