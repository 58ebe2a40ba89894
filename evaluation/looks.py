"""False-alarm factor of repeated decisions: a live track decided after every shot, against one decided once.

    python -m evaluation.looks --data DATA [--people 200] [--cache .cache]      # writes into the recogniser's card

Half of the people of ``DATA/calibration`` approach a simulated camera, half stand still; each has a random camera. The track is
decided at three shots and after each further shot, on the best five so far, as `stages.select` keeps them. A stranger raises a
false alarm if any decision is above its threshold. The factor divides the FPIR of each decision, so that all decisions together
raise no more false alarms than the last one alone. The card holds the largest factor over lists of `LISTS` people.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.lfw import FACE_SHARE, at_level
from evaluation.stage_templates import StageTemplates, aggregated
from evaluation.visits import MISALIGNED, Filming
from models import recognizer_card, weights_path
from models.chip import CHIP, sharpness_of
from models.weights_io import update_card
from training.common.degradations import cctv_camera, jitter
from watchlist.highest_scores import HighestScores
from watchlist.thresholds import Thresholds

SHOTS, FIRST, BEST = 16, 3, 5  # shots of a track; at the first decision; in a template
RATE, LISTS = 0.01, (10, 100, 1000)
FACTORS = np.geomspace(1, 12, 6)
Float = NDArray[np.float32]


def film_stay(
    chips: list[NDArray[np.uint8]], rng: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], list[float], list[float]]:
    """Simulate a track: its shots by time, face widths in pixels, and ranks by size and sharpness as in
    `stages.select`."""
    camera, near = cctv_camera(rng), float(np.exp(rng.uniform(np.log(14), np.log(62))))
    far = min(near, 12.0) if rng.random() < 0.5 else near
    widths = (1 / np.linspace(1 / far, 1 / near, SHOTS)).tolist()
    shots, ranks = [], []
    for width in widths:
        moved = jitter(chips[rng.integers(len(chips))], min(1.0, MISALIGNED / width), rng)
        shots.append(at_level(camera(moved, min(CHIP, round(width / FACE_SHARE)), rng)))
        ranks.append(min(1.0, width / 64) ** 0.7 * min(1.0, sharpness_of(shots[-1]) / 20) ** 0.3)
    return shots, widths, ranks


def film_stays(filming: Filming, count: int) -> dict[str, Float]:
    """Embeddings (P, K, D), qualities, widths and ranks (P, K) of ``count`` people's shots."""
    people, rng = filming.people, np.random.default_rng(0)
    filmed = []
    for person in range(count):
        own = np.flatnonzero(people.person == person)
        filmed.append(film_stay([people.chips[rng.choice(own[1:] if len(own) > 1 else own)]], rng))
    tracks = StageTemplates().embedded([shots for shots, _, _ in filmed])
    return {
        "shots": np.stack([t.embeddings for t in tracks]),
        "quality": np.stack([t.quality for t in tracks]),
        "widths": np.array([widths for _, widths, _ in filmed], np.float32),
        "ranks": np.array([ranks for _, _, ranks in filmed], np.float32),
    }


def look_templates(stays: dict[str, Float], shots: int) -> tuple[Float, Float, NDArray[np.intp]]:
    """Templates (P, D) after ``shots`` shots, face width of the best shot (P,), and shots per template (P,)."""
    best = np.argsort(-stays["ranks"][:, :shots], axis=1)[:, :BEST]
    rows = np.arange(len(best))[:, None]
    templates = aggregated(stays["shots"][rows, best], stays["quality"][rows, best], power=2.0)
    return templates, stays["widths"][rows[:, 0], best[:, 0]], np.full(len(best), best.shape[1])


def best_margins(stays: dict[str, Float], photos: Float, needed: Callable[[float, int], float], looks: range) -> Float:
    """Largest margin (P, G) above the threshold over decisions after ``looks`` shots; ``needed`` gives the threshold by width
    and shots."""
    highest = np.full((len(stays["shots"]), len(photos)), -np.inf, np.float32)
    for shots in looks:
        templates, widths, count = look_templates(stays, shots)
        limits = np.array([needed(float(w), int(n)) for w, n in zip(widths, count, strict=True)], np.float32)
        highest = np.maximum(highest, templates @ photos.T - limits[:, None])
    return highest


def measure(filming: Filming, count: int, impostors: list[dict[str, Any]]) -> dict[int, float]:
    """Measure the false-alarm factor by watchlist size."""
    stays = filming.kept(f"stays-{count}", lambda: film_stays(filming, count))
    stays["shots"] = filming.as_elsewhere(stays["shots"])
    people, thresholds = filming.people, Thresholds(impostors)
    enrolled = np.unique(people.person, return_index=True)[1]
    strange = people.family[:count, None] != people.family
    found = {}
    for size in LISTS:

        def alarms(factor: float, looks: range, size: int = size) -> float:
            margins = best_margins(
                stays, filming.photos[enrolled], lambda w, n: thresholds.cosine(RATE / factor, size, w, n), looks
            )
            over = HighestScores(margins, strange)
            return float(np.interp(0.0, over.cosines, over.rates(size)))

        rates = [alarms(factor, range(FIRST, SHOTS + 1)) for factor in FACTORS]
        found[size] = float(np.interp(-np.log(alarms(1.0, range(SHOTS, SHOTS + 1))), -np.log(rates), FACTORS))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--people", type=int, default=200)
    args = parser.parse_args()
    impostors = recognizer_card()["impostors"]
    found = measure(Filming(args.data, None, args.cache), args.people, impostors)
    for size, factor in found.items():
        print(f"list of {size}: {factor:.2f} times the false alarms of the last look")
    factor = round(max(found.values()), 2)
    update_card(weights_path(None, "recognizer"), impostors=[entry | {"looks": factor} for entry in impostors])


if __name__ == "__main__":
    main()
