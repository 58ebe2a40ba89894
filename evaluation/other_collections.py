"""Chips of other collections, against what all chips of the calibration set share.

Every chip of ``DATA/calibration`` is cropped tightly, its surroundings are filled, and its photo is of one collection. The mean
embedding of such chips is a common mode: it raises the cosine of all strangers by about 0.02, and a threshold with it. So it is
exchanged for the mean embedding of complete chips of several collections (`exchanged`). These are dev rows of ``DATA/chips``, on
which no network trains. One half of their people is enrolled, the other half is filmed, so nobody is in both means.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.chips import SAME_PERSON_COSINE, is_dev
from training.data.picture_edges import load_edges

COLLECTIONS = "celeba", "celeba2", "ffhq", "mebeauty", "nba", "pins", "sport"  # of photos, nearly all of adults
MOST = 120  # people of one collection
Embeddings = NDArray[np.float32]


@dataclass(frozen=True)
class Others:
    """People of other collections.

    Attributes:
        photos: float32 (E, D), embeddings of enrolled photos.
        shots: float32 (O, K, D), of K shots of each of O other people.
        quality: float32 (O, K), of those.
        face_px: float32 (O,), width of the largest face of each visit in pixels.
        enrolled_from: str (E,), collection of each photo.
        filmed_from: str (O,), collection of each visitor.
    """

    photos: Embeddings
    shots: Embeddings
    quality: NDArray[np.float32]
    face_px: NDArray[np.float32]
    enrolled_from: NDArray[np.str_]
    filmed_from: NDArray[np.str_]


def dev_rows(folder: Path) -> list[dict[str, str]]:
    """Rows of ``folder/index.csv``: one complete chip of each dev person of `COLLECTIONS`, who is alike to no training row and
    to no earlier row."""
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["identity"] or row["file"] for row in rows]
    vectors = np.load(folder / "edgeface_xs.npy").astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    dev, complete = np.array([is_dev(name) for name in names]), ~load_edges(folder, len(rows)).any((1, 2))
    known, chosen, seen = vectors[~dev], list[int](), set[str]()
    for row in np.flatnonzero(dev & complete & np.isin([row["source"] for row in rows], COLLECTIONS)):
        if names[row] in seen or sum(rows[k]["source"] == rows[row]["source"] for k in chosen) == MOST:
            continue
        if max((known @ vectors[row]).max(initial=-1), (vectors[chosen] @ vectors[row]).max(initial=-1)) <= SAME_PERSON_COSINE:
            chosen.append(int(row))
            seen.add(names[row])
    return [rows[row] for row in chosen]


def exchanged(embeddings: Embeddings, own: Embeddings, others: Embeddings) -> Embeddings:
    """Exchange a common mode for another.

    Args:
        embeddings: float32 (..., D).
        own: float32 (D,), the common mode to remove: the mean of such embeddings.
        others: float32 (D,), the common mode to add.

    Returns:
        float32 (..., D), unit length.
    """
    moved = embeddings - own + others
    return np.asarray(moved / np.linalg.norm(moved, axis=-1, keepdims=True), np.float32)
