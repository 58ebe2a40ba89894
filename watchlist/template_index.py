"""The FAISS index over track templates, stored in files next to the database. It can be rebuilt at any time."""

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

CHUNK = 20_000  # embeddings converted at once
MIN_SAVED_TEMPLATES = 20_000  # reading fewer from the database takes no longer than from a file


def index_folder(store: Tracks) -> Path:
    """The folder of a database's index."""
    return store.path.with_name(store.path.name + ".templates")


class TemplateIndex:
    """Exact inner-product search over the templates of a database, in float16 as they are stored.

    The constructor brings the saved index up to date. It adds new templates, and rebuilds the index after a purge, so that no
    deleted template stays in it.

    Args:
        store: the database.

    Raises:
        StoreError: see `TrackTemplates.templates`.
    """

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
        """The templates nearest to any of several probes.

        Args:
            vectors: probes float32 (M, D), unit length.
            top: number of templates to return at most.
            among: template ids to search; None: all.

        Returns:
            Template ids and cosines, highest cosine first.
        """
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
                template = int(self.ids[row])
                best[template] = max(float(score), best.get(template, -1.0))
        ranked = sorted(best, key=lambda i: -best[i])[:top]
        return ranked, [best[i] for i in ranked]

    def _load(self) -> tuple[NDArray[np.int64], faiss.IndexScalarQuantizer | None, int]:
        """Load a saved index; an empty one if it is missing or damaged.

        The files are plain arrays. Index files of FAISS may name other files, which the library would open.
        """
        nothing = np.zeros(0, np.int64), None, -1
        if self._folder.is_symlink():
            return nothing
        try:
            state = json.loads((self._folder / "state.json").read_text())
            if not re.fullmatch(r"[\d-]+", state["name"]) or not isinstance(state["purged"], int):
                raise ValueError("not written by _save")
            ids, vectors = (
                np.load(self._folder / f"{what}-{state['name']}.npy", mmap_mode="r") for what in ("ids", "vectors")
            )  # mapped, so that a wrong size in the header takes no memory
            if ids.dtype != np.int64 or vectors.dtype != np.float16 or ids.ndim != 1 or vectors.ndim != 2 or not vectors.size:
                raise ValueError("arrays of another kind")
            if len(ids) != len(vectors) or not (np.diff(ids) > 0).all():
                raise ValueError("ids that do not fit")
            return np.array(ids), _index_of(vectors), int(state["purged"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, EOFError, SyntaxError):
            return nothing

    def _save(self, purged: int) -> None:
        """Write new files, then switch ``state.json`` to them. A process killed in between leaves the old index in use."""
        if self._folder.is_symlink():  # not ours
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
    """An index over embeddings float16 (N, D). Raises ValueError if any value is not finite."""
    index = _empty(vectors.shape[1])
    for start in range(0, len(vectors), CHUNK):
        chunk = vectors[start : start + CHUNK].astype(np.float32)
        if not np.isfinite(chunk).all():
            raise ValueError("values that are not finite")
        index.add(chunk)
    return index
