"""False-alarm factor of repeated decisions: a live track decided after every shot, against one decided once.

    python -m evaluation.looks --data DATA [--people 100] [--cache .cache]      # writes into the recogniser's card
    python -m evaluation.looks --data DATA --check [--people 60] [--cameras 2] [--json FILE]

Half of the adults of ``DATA/calibration`` approach a simulated camera, half stand still, for a minute at three looks a
second; each has a random camera. The track is decided at three shots and after each further shot, on the best five so far, as
`stages.select` keeps them. Only shots that are ever among the best are embedded. A stranger raises a false alarm if any
decision is above its threshold. The factor divides the FPIR of each decision, so that all decisions of a stay together raise
no more false alarms than a single one, on average over `SINGLE_LOOKS`. The same people are in both, because the rate of so
few people says little by itself. The card holds the largest factor over lists of `LISTS` people.

With ``--check``, strangers of ``DATA/lfw-dev`` (never trained or calibrated on) stay at several cameras, over lists of all
its other people. `passage` is the FPIR of a stay at one camera, for which thresholds are made, `passer_by` that of a person
at any of the cameras. `once` is that of a single decision, on average over `SINGLE_LOOKS`, at the thresholds of recordings.
`range` is the 95 % bootstrap interval of `passage` over strangers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.identification import split
from evaluation.lfw import FACE_SHARE, at_level, load_lfw
from evaluation.stage_templates import StageTemplates, aggregated
from evaluation.visits import MISALIGNED, Filming
from models import load_recognizer, recognizer_card, weights_path
from models.chip import CHIP, sharpness_of
from models.weights_io import update_card
from training.common.degradations import cctv_camera, jitter
from watchlist.highest_scores import HighestScores
from watchlist.thresholds import Thresholds

STAY_S, LOOKS_A_SECOND = 60, 3
SHOTS, FIRST, BEST = STAY_S * LOOKS_A_SECOND, 3, 5  # shots of a track; at the first decision; in a template
RATE, LISTS = 0.01, (10, 100, 1000)
EVERY_LOOK, SINGLE_LOOKS = range(FIRST, SHOTS + 1), (5, 10, 30, 90, SHOTS)
FACTORS = np.geomspace(1, 12, 6)
RESAMPLES = 1000
Chip = NDArray[np.uint8]
Float = NDArray[np.float32]


def film_stay(chip: Chip, rng: np.random.Generator) -> tuple[list[Chip], list[float], list[float]]:
    """Simulate a track: its shots by time, face widths in pixels, and ranks by size and sharpness as in
    `stages.select`."""
    camera, near = cctv_camera(rng), float(np.exp(rng.uniform(np.log(14), np.log(62))))
    far = min(near, 12.0) if rng.random() < 0.5 else near
    widths = (1 / np.linspace(1 / far, 1 / near, SHOTS)).tolist()
    shots, ranks = [], []
    for width in widths:
        moved = jitter(chip, min(1.0, MISALIGNED / width), rng)
        shots.append(at_level(camera(moved, min(CHIP, round(width / FACE_SHARE)), rng)))
        ranks.append(min(1.0, width / 64) ** 0.7 * min(1.0, sharpness_of(shots[-1]) / 20) ** 0.3)
    return shots, widths, ranks


def ever_best(ranks: Float) -> NDArray[np.bool_]:
    """Which shots (K,) are among the `BEST` so far at any decision; ``ranks`` (K,) by time."""
    kept = np.zeros(len(ranks), bool)
    for shots in range(FIRST, len(ranks) + 1):
        kept[best_shots(ranks[None], shots)] = True
    return kept


def best_shots(ranks: Float, shots: int) -> NDArray[np.intp]:
    """The best of the first ``shots`` shots of each track (P, up to `BEST`); ``ranks`` (P, K)."""
    return np.argsort(-ranks[:, :shots], axis=1, kind="stable")[:, :BEST]


def film_stays(chips: list[Chip], rng: np.random.Generator) -> dict[str, Float]:
    """Embeddings (P, K, D), qualities, widths and ranks (P, K) of the shots of one stay for each chip.

    Embeddings and qualities are zero where a shot is never among the best.
    """
    shots, widths, ranks = zip(*(film_stay(chip, rng) for chip in chips), strict=True)
    kept = [ever_best(np.array(own, np.float32)) for own in ranks]
    tracks = StageTemplates().embedded([[own[k] for k in np.flatnonzero(best)] for own, best in zip(shots, kept, strict=True)])
    embeddings = np.zeros((len(chips), SHOTS, tracks[0].embeddings.shape[1]), np.float32)
    quality = np.zeros((len(chips), SHOTS), np.float32)
    for row, (track, best) in enumerate(zip(tracks, kept, strict=True)):
        embeddings[row, best], quality[row, best] = track.embeddings, track.quality
    return {"shots": embeddings, "quality": quality, "widths": np.array(widths, np.float32), "ranks": np.array(ranks, np.float32)}


def calibration_stays(filming: Filming, count: int) -> dict[str, Float]:
    """One stay of the first ``count`` people, from another photo than the enrolled one."""
    people, rng, chips = filming.people, np.random.default_rng(0), []
    for person in range(count):
        own = np.flatnonzero(people.person == person)
        chips.append(people.chips[rng.choice(own[1:] if len(own) > 1 else own)])
    return film_stays(chips, rng)


def look_templates(
    stays: dict[str, Float], best: NDArray[np.intp], rows: NDArray[np.intp]
) -> tuple[Float, Float, NDArray[np.intp]]:
    """Templates (R, D) of the stays ``rows`` from their ``best`` shots (R, up to `BEST`), face width of the best shot (R,), and
    shots per template (R,)."""
    templates = aggregated(stays["shots"][rows[:, None], best], stays["quality"][rows[:, None], best], power=2.0)
    return templates, stays["widths"][rows, best[:, 0]], np.full(len(best), best.shape[1])


def best_margins(stays: dict[str, Float], photos: Float, needed: Callable[[float, int], float], looks: range) -> Float:
    """Largest margin (P, G) above the threshold over decisions after ``looks`` shots; ``needed`` gives the threshold by width
    and shots. A decision with the same shots as the one before is the same decision."""
    highest = np.full((len(stays["shots"]), len(photos)), -np.inf, np.float32)
    before = np.full((len(highest), BEST), -1)
    for shots in looks:
        best = best_shots(stays["ranks"], shots)
        rows = np.flatnonzero((best != before[:, : best.shape[1]]).any(1) | (shots <= BEST))
        if len(rows):
            templates, widths, count = look_templates(stays, best[rows], rows)
            limits = np.array([needed(float(w), int(n)) for w, n in zip(widths, count, strict=True)], np.float32)
            highest[rows] = np.maximum(highest[rows], templates @ photos.T - limits[:, None])
        before[:, : best.shape[1]] = best
    return highest


def alarms(margins: Float, strange: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    """FPIR (P,) of each stranger over a list of ``size`` people, from the margins (P, G) above the threshold."""
    return HighestScores(margins, strange).alarms(0.0, size)


def single_rate(
    stays: dict[str, Float], photos: Float, strange: NDArray[np.bool_], needed: Callable[[float, int], float], size: int
) -> float:
    """FPIR of a single decision, on average over `SINGLE_LOOKS`."""
    single = [best_margins(stays, photos, needed, range(look, look + 1)) for look in SINGLE_LOOKS if look <= SHOTS]
    return float(np.mean([alarms(margins, strange, size).mean() for margins in single]))


def measure(filming: Filming, count: int, impostors: list[dict[str, Any]]) -> dict[int, float]:
    """Measure the false-alarm factor by watchlist size, from the adults among the first ``count`` people."""
    people, thresholds = filming.people, Thresholds(impostors)
    stays = filming.kept(f"minutes-{count}", lambda: calibration_stays(filming, count))
    stays["shots"] = filming.as_elsewhere(stays["shots"])
    adults = np.flatnonzero(~people.child)
    passing = adults[adults < count]
    stays = {name: values[passing] for name, values in stays.items()}
    photos = filming.photos[np.unique(people.person, return_index=True)[1][adults]]
    strange = people.family[passing][:, None] != people.family[adults]
    found = {}
    for size in LISTS:
        rates = []
        for factor in FACTORS:
            live = best_margins(
                stays, photos, lambda px, n, f=factor, size=size: thresholds.cosine(RATE / f, size, px, n), EVERY_LOOK
            )
            rates.append(float(alarms(live, strange, size).mean()))
        once = single_rate(stays, photos, strange, lambda px, n, size=size: thresholds.cosine(RATE, size, px, n), size)
        found[size] = float(np.interp(-np.log(once), -np.log(rates), FACTORS))
    return found


def check(filming: Filming, data: Path, count: int, cameras: int, impostors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """FPIR of strangers of ``DATA/lfw-dev`` at the live thresholds for `RATE`, each staying at several cameras.

    Args:
        filming: keeps the embeddings.
        data: the data folder.
        count: number of strangers.
        cameras: number of cameras that each stays at, one after the other.
        impostors: of the recogniser's card.
    """
    lfw = load_lfw(data)
    people, first = np.unique(lfw.names, return_index=True)
    passing = np.random.default_rng(0).permutation(split(lfw)[2])[:count]
    stays = filming.kept(
        f"lfw-minutes-{count}-{cameras}",
        lambda: film_stays([lfw.chips[row] for row in passing for _ in range(cameras)], np.random.default_rng(0)),
    )
    photos = filming.kept("lfw-photos", lambda: {"photos": load_recognizer().embed(lfw.chips[first])})["photos"]
    strange, thresholds, rows = lfw.names[passing][:, None] != people, Thresholds(impostors), []
    for size in LISTS:
        live = best_margins(stays, photos, lambda w, n, size=size: thresholds.cosine(RATE, size, w, n, live=True), EVERY_LOOK)
        passages = np.repeat(strange, cameras, axis=0)
        once = single_rate(stays, photos, passages, lambda w, n, size=size: thresholds.cosine(RATE, size, w, n), size)
        each = alarms(live, passages, size).reshape(count, cameras).mean(1)
        rng = np.random.default_rng(0)
        drawn = [each[rng.integers(count, size=count)].mean() for _ in range(RESAMPLES)]
        rows.append(
            {
                "list_size": size,
                "asked": RATE,
                "strangers": count,
                "cameras": cameras,
                "once": round(once, 4),
                "passage": round(float(each.mean()), 4),
                "range": np.quantile(drawn, [0.025, 0.975]).round(4).tolist(),
                "passer_by": round(float(alarms(live.reshape(count, cameras, -1).max(1), strange, size).mean()), 4),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--people", type=int)
    parser.add_argument("--check", action="store_true", help="measure the rate of live tracks on other people; writes no card")
    parser.add_argument("--cameras", type=int, default=2)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    impostors, filming = recognizer_card()["impostors"], Filming(args.data, None, args.cache)
    if args.check:
        rows = check(filming, args.data, args.people or 60, args.cameras, impostors)
        for row in rows:
            print(
                f"list of {row['list_size']}: asked {row['asked']:g}, decided once {row['once']:.4f}, "
                f"live for {STAY_S} s at one camera {row['passage']:.4f} ({row['range'][0]:.4f} to {row['range'][1]:.4f}), "
                f"a passer-by of {row['cameras']} cameras {row['passer_by']:.4f}"
            )
        if args.json:
            args.json.write_text(json.dumps(rows, indent=2) + "\n")
        return
    found = measure(filming, args.people or 100, impostors)
    for size, factor in found.items():
        print(f"list of {size}: {factor:.2f} times the false alarms of a single look")
    factor = round(max(found.values()), 2)
    update_card(weights_path(None, "recognizer"), impostors=[entry | {"looks": factor} for entry in impostors])


if __name__ == "__main__":
    main()
