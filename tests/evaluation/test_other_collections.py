"""What all chips of one collection share moves no threshold."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from evaluation.impostors import rates_elsewhere
from evaluation.other_collections import Others, dev_rows, exchanged
from training.data.chips import is_dev
from watchlist.highest_scores import HighestScores
from watchlist.thresholds import LISTS, RATES


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def test_people_of_a_collection_with_a_common_look_get_the_thresholds_of_others() -> None:
    rng, dim = np.random.default_rng(0), 128
    look, elsewhere = 4.0 * np.eye(dim)[0], 1.0 * np.eye(dim)[1]
    faces = rng.standard_normal((2, 600, dim))
    there, here = (unit(faces + common) for common in (elsewhere, look))

    def threshold(vectors: np.ndarray) -> float:
        return HighestScores(vectors[0] @ vectors[1].T).cosine(0.01, 100)

    wanted = threshold(there)
    assert threshold(here) - wanted > 0.04
    moved = np.stack([exchanged(part, part.mean(0), other.mean(0)) for part, other in zip(here, there, strict=True)])
    assert abs(threshold(moved) - wanted) < 0.01
    assert np.allclose(np.linalg.norm(moved, axis=-1), 1, atol=1e-5)


def test_other_collections_are_complete_chips_of_people_whom_training_has_not_seen(tmp_path: Path) -> None:
    names = [f"p{k}" for k in range(400)]
    dev = [k for k, name in enumerate(names) if is_dev(name)]
    double, cut, generated, known = dev[:4]
    rows = [{"file": f"{k}.webp", "shard": "a.tar", "source": "nba", "identity": name} for k, name in enumerate(names)]
    rows[generated]["source"] = "gen"
    rows.append(rows[dev[4]] | {"file": "again.webp"})
    vectors, corners = np.eye(len(rows), dtype=np.float16), np.zeros((len(rows), 4, 2), np.int16)
    vectors[double], vectors[known], corners[cut] = vectors[dev[5]], vectors[0], 9
    with (tmp_path / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    np.save(tmp_path / "edgeface_xs.npy", vectors)
    np.savez(tmp_path / "edges.npz", half_pixels=corners)
    assert not is_dev(names[0])
    found = [row["identity"] for row in dev_rows(tmp_path)]
    left_out = {names[k] for k in (cut, generated, known, dev[5])}  # dev[5] has the face of ``double``, which is earlier
    assert found == [names[k] for k in dev if names[k] not in left_out]


def test_rates_tell_lists_of_the_same_collection_from_lists_of_others() -> None:
    """Two kinds of people: those of one kind look alike, and nobody looks like the other kind."""
    rng, kinds = np.random.default_rng(0), np.repeat(["players", "actors"], 40)
    faces = rng.standard_normal((2, 80, 64)) + 5 * np.eye(64)[(kinds == "actors").astype(int)]
    photos, shots = unit(faces[0]), unit(faces[1])[:, None]
    others = Others(photos, shots, np.ones((80, 1), np.float32), np.full(80, 30, np.float32), kinds, kinds)
    table = [[0.5 for _ in RATES] for _ in LISTS]
    card = [{"face_px": [10, 80], "shots": 5, "people": 9, "lists": list(LISTS), "rates": list(RATES), "cosines": table}]
    apart, alike = rates_elsewhere(others, card)
    assert (apart["people"], alike["people"]) == ([80, 80], [80, 80])
    assert apart["fpir"] < 0.05 and alike["fpir"] > 0.5
