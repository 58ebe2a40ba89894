"""Trials of decision rules: FNIR at equal FPIR with the same network, on the adults of the calibration set, not the test set.

    python -m evaluation.decision_trials --data DATA [--cache .cache] [--json FILE]

Each trial changes the scores or the thresholds. FNIR is taken at a measured FPIR of `RATE` over lists of `LIST` people. A trial
is fitted to half of the families and measured on the other half, over `SPLITS` random splits. `gain` is the reduction of FNIR in
points against the current decision rule on the same splits, ± its standard deviation over the splits.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.lfw import FACE_SHARE, at_level
from evaluation.stage_templates import StageTemplates, aggregated
from evaluation.visits import Filming
from training.common.degradations import PRESETS
from watchlist.highest_scores import TAIL_SHARE, HighestScores

RATE, LIST, SPLITS = 0.01, 100, 20
LOOK_PX = 14, 24  # face widths in pixels of the additional, degraded templates of the enrolled photos
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Probes:
    """Templates of visits, and the photos of the same people.

    Attributes:
        templates: float32 (P, D), one per person.
        photos: float32 (P, L, D): the sharp enrolled photo of each person, then its degraded templates.
        family: int (P,), family of each person.
        inputs: float32 (P, C), properties of each template: width, shots, quality, agreement.
        parts: float32 (P, 2, D), templates of a visit of five shots that is cut into two tracks, by turns.
        whole: float32 (P, D), templates of all five shots.
    """

    templates: Float
    photos: Float
    family: NDArray[np.intp]
    inputs: Float
    parts: Float
    whole: Float

    def part(self, rows: NDArray[np.intp]) -> Probes:
        return Probes(*(getattr(self, field.name)[rows] for field in fields(Probes)))


Trial = Callable[[Probes, Probes], Float]  # fits to the first half; returns scores minus thresholds (P, P) of the second


def fnir(scores: Float, family: NDArray[np.intp]) -> float:
    """FNIR at FPIR `RATE` over random lists of `LIST` people.

    Args:
        scores: (P, P), row i a probe of person i, with the score of the mate on the diagonal.
        family: int (P,), family of each person.
    """
    strange = family[:, None] != family
    own = np.diag(scores)
    limit = HighestScores(scores, strange).cosine(RATE, LIST)
    above = ((scores >= own[:, None]) & strange).sum(1) / strange.sum(1)  # share of others who rank before the mate
    return float(1 - ((own >= limit) * (1 - above) ** (LIST - 1)).mean())


def sharp(_: Probes, test: Probes) -> Float:
    return test.templates @ test.photos[:, 0].T


def best_look(_: Probes, test: Probes) -> Float:
    return np.einsum("pd,gld->pgl", test.templates, test.photos).max(2)


def mean_look(_: Probes, test: Probes) -> Float:
    mean = test.photos.mean(1)
    return test.templates @ (mean / np.linalg.norm(mean, axis=1, keepdims=True)).T


def by_inputs(columns: list[int]) -> Trial:
    """Trial: thresholds are a linear function of these columns of `Probes.inputs`."""

    def trial(fit: Probes, test: Probes) -> Float:
        scores = np.where(fit.family[:, None] != fit.family, sharp(fit, fit), np.nan)
        upper = np.nanquantile(scores, 1 - TAIL_SHARE, axis=1)
        line = np.linalg.lstsq(_with_one(fit.inputs[:, columns]), upper, rcond=None)[0]
        return (sharp(fit, test) - (_with_one(test.inputs[:, columns]) @ line)[:, None]).astype(np.float32)

    return trial


def less_common(share: float) -> Trial:
    """Trial: subtract ``share`` times the mean template of the camera's passers-by, and likewise the mean photo."""

    def trial(fit: Probes, test: Probes) -> Float:
        probes, photos = (
            test.templates - share * fit.templates.mean(0),
            test.photos[:, 0] - share * fit.photos[:, 0].mean(0),
        )
        return (probes / np.linalg.norm(probes, axis=1, keepdims=True)) @ (
            photos / np.linalg.norm(photos, axis=1, keepdims=True)
        ).T

    return trial


def two_tracks(_: Probes, test: Probes) -> Float:
    """Trial: each visit is cut into two tracks, and a match of either track counts."""
    return np.einsum("pkd,gd->pgk", test.parts, test.photos[:, 0]).max(2)


def joined(_: Probes, test: Probes) -> Float:
    """Trial: the two tracks of a visit are joined without errors."""
    return test.whole @ test.photos[:, 0].T


def _with_one(inputs: Float) -> Float:
    return np.hstack([np.ones((len(inputs), 1), np.float32), inputs])


TRIALS: dict[str, Trial] = {
    "today: one template a photo": sharp,
    "(a) further looks of the photo, best": best_look,
    "(a) further looks of the photo, mean": mean_look,
    "(b) threshold by width": by_inputs([0]),
    "(b) threshold by width and shots": by_inputs([0, 1]),
    "(b) threshold by width, shots and quality": by_inputs([0, 1, 2]),
    "(b) threshold by width, shots, quality and agreement": by_inputs([0, 1, 2, 3]),
    "(c) half of the common mode removed": less_common(0.5),
    "(c) all of the common mode removed": less_common(1.0),
    "(d) two tracks of a visit, each decided": two_tracks,
    "(d) two tracks of a visit, joined before deciding": joined,
}


def probes_of(filming: Filming, seed: int, looks: Float) -> Probes:
    """Probe templates of one to five shots from the visits ``seed``; ``looks`` (P, L, D): degraded enrolled templates."""
    visit, people = filming.visits(seed), filming.people
    shots = np.random.default_rng(seed).choice((1, 3, 5), len(visit.face_px))
    quality = visit.quality * (np.arange(visit.quality.shape[1]) < shots[:, None])
    templates = aggregated(visit.shots, quality, power=2.0)
    weights = quality**2 / np.maximum((quality**2).sum(1, keepdims=True), 1e-9)
    alike = (np.einsum("pd,pkd->pk", templates, visit.shots) * weights).sum(1)
    inputs = np.stack([np.log(visit.face_px), np.log(shots), (quality * weights).sum(1), alike], 1).astype(np.float32)
    photos = np.concatenate([filming.photos[enrolled_rows(people.person)][:, None], looks], 1)
    parts = np.stack([aggregated(visit.shots[:, k::2], visit.quality[:, k::2], power=2.0) for k in (0, 1)], 1)
    whole = aggregated(visit.shots, visit.quality, power=2.0)
    return Probes(templates, photos, people.family, inputs, parts, whole).part(np.flatnonzero(~people.child))


def enrolled_rows(person: NDArray[np.intp]) -> NDArray[np.intp]:
    """The first photo of each person."""
    return np.unique(person, return_index=True)[1]


def camera_looks(filming: Filming) -> Float:
    """Templates (P, L, D) of the enrolled photos, degraded by a simulated camera to `LOOK_PX`, made by the pipeline's stages."""
    rows, rng = enrolled_rows(filming.people.person), np.random.default_rng(0)
    tracks = [
        [at_level(PRESETS["cctv-fixed"](np.ascontiguousarray(filming.people.chips[row]), round(px / FACE_SHARE), rng))]
        for row in rows
        for px in LOOK_PX
    ]
    found = StageTemplates().embedded(tracks)
    return np.stack([track.embeddings[0] for track in found]).reshape(len(rows), len(LOOK_PX), -1)


def measure(probes: list[Probes]) -> list[dict[str, Any]]:
    """Measure the FNIR of every trial and its gain over the first."""
    found: dict[str, list[float]] = {name: [] for name in TRIALS}
    for split in range(SPLITS):
        some = probes[split % len(probes)]
        rng, families = np.random.default_rng(split), np.unique(some.family)
        inside = np.isin(some.family, rng.choice(families, len(families) // 2, replace=False))
        fit, test = some.part(np.flatnonzero(~inside)), some.part(np.flatnonzero(inside))
        for name, trial in TRIALS.items():
            found[name].append(fnir(trial(fit, test), test.family))
    today = np.array(next(iter(found.values())))
    return [
        {
            "trial": name,
            "fnir": round(100 * float(np.mean(values)), 1),
            "gain": round(100 * float((today - values).mean()), 1),
            "deviation": round(100 * float((today - values).std()), 1),
        }
        for name, values in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--visits", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    filming = Filming(args.data, None, args.cache)
    looks = filming.as_elsewhere(filming.kept("looks", lambda: {"looks": camera_looks(filming)})["looks"])
    rows = measure([probes_of(filming, seed, looks) for seed in range(args.visits)])
    for row in rows:
        print(f"{row['trial']:55} FNIR {row['fnir']:5.1f} %  gain {row['gain']:+5.1f} ± {row['deviation']:.1f}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
