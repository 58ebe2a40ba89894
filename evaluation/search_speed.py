"""Latency of searching a watchlist and past tracks, compared with plain FAISS and NumPy in the same run.

    python -m evaluation.search_speed [--sizes 1000 10000 100000 1000000] [--json FILE]

Random unit vectors of the recogniser's length. `gallery`: one probe against the enrolled photos (`watchlist.gallery`);
`past`: one probe against the tracks (`watchlist.template_index`), all of them and a tenth (as a filter leaves); `flat`:
FAISS's exact float32 index; `numpy`: the product and its largest. Milliseconds a probe, median of repeated calls.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from rich.console import Console
from rich.table import Table

from watchlist import template_index
from watchlist.gallery import new_index
from watchlist.template_index import TemplateIndex

DIMENSION = 256
CALLS = 15
PROBES = 200
MATE_COSINE = 0.45  # cosine of a probe to its mate: a small face with one shot


class FakeDatabase:
    """Stands in for a database that holds only templates."""

    def __init__(self, vectors: np.ndarray, folder: Path) -> None:
        self._vectors, self.path = vectors, folder / "past.db"

    def purged(self) -> int:
        return 0

    def templates(self, after: int) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(after + 1, len(self._vectors) + 1), self._vectors[after:].astype(np.float16)


def at_cosine(vectors: np.ndarray, cosine: float, rng: np.random.Generator) -> np.ndarray:
    """Random unit vectors (M, D) at a given cosine to each of ``vectors`` (M, D)."""
    noise = rng.standard_normal(vectors.shape).astype(np.float32)
    noise -= (noise * vectors).sum(1, keepdims=True) * vectors
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return (cosine * vectors + np.sqrt(1 - cosine**2) * noise).astype(np.float32)


def median_ms(call: Callable[[np.ndarray], object], probes: np.ndarray) -> float:
    """Median milliseconds of calls with one probe each."""
    call(probes[:1])
    took = []
    for k in range(CALLS):
        started = time.perf_counter()
        call(probes[k : k + 1])
        took.append(time.perf_counter() - started)
    return 1000 * float(np.median(took))


def measure(count: int, folder: Path) -> dict[str, Any]:
    """Milliseconds a probe over ``count`` vectors."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    members = rng.choice(count, PROBES)
    probes = at_cosine(vectors[members], MATE_COSINE, rng)
    index = new_index(DIMENSION, count)
    index.add(vectors)
    row: dict[str, Any] = {"templates": count, "gallery_ms": median_ms(lambda p: index.search(p, 1), probes)}
    started = time.perf_counter()
    first = index.search(probes, 1)[1][:, 0]
    row |= {"gallery_per_s": PROBES / (time.perf_counter() - started)}
    past = TemplateIndex(FakeDatabase(vectors, folder))  # type: ignore[arg-type]
    tenth = past.ids[::10]
    row["past_ms"] = median_ms(lambda p: past.nearest(p, 20), probes)
    row["past_tenth_ms"] = median_ms(lambda p: past.nearest(p, 20, tenth), probes)
    started = time.perf_counter()
    TemplateIndex(FakeDatabase(vectors, folder))  # type: ignore[arg-type]
    row["past_opened_s"] = time.perf_counter() - started
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(vectors)
    row["flat_ms"] = median_ms(lambda p: flat.search(p, 20), probes)
    row["same_first_as_flat"] = float((flat.search(probes, 1)[1][:, 0] == first).mean())
    row["numpy_ms"] = median_ms(lambda p: np.argpartition(-(vectors @ p[0]), 20)[:20], probes)
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in row.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    template_index.MIN_SAVED_TEMPLATES = 1
    rows = []
    for count in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(count, Path(folder)))
    table = Table(*rows[0], box=None)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=200).print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
