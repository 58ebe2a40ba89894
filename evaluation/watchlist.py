"""Open-set identification from video: FNIR, and measured against requested FPIR.

    python -m evaluation.watchlist --data DATA [--known 150] [--strangers 450] [--keep FOLDER] [--plot FILE] [--json FILE]
    python -m evaluation.watchlist --data DATA --quick            # without a film: shots of random cameras become templates

Faces of ``DATA/lfw-dev`` (never trained on) walk through a real corridor, drawn over the background of ``--clip``, with noise,
blur and H.264. The shipped pipeline processes the clip like any recording. Then watchlists of several sizes are drawn from all
people. Up to half of each list are walkers rendered from another photo than the enrolled one. All other walkers are strangers.
Each walker has one photo, so appearance varies less than in reality: the rates measure recognition, not behaviour.

Each walker counts once per watchlist. A stranger is a false alarm if any of their tracks matches anybody. A known person is found
if one track matches them; FNIR counts all others (a stranger's photo scored higher, below the threshold, not assessable, never
tracked). `asked` is the FPIR the thresholds were computed for, `measured` the share of strangers. FNIR at a measured rate
shifts all thresholds by the same amount. `error` is two standard errors of the share: binomial, for the number of strangers
at the requested rate, because twenty lists of the same strangers add little information to one. With ``--keep`` the film and
the tracks stay in
the folder, and thresholds are measured again on the same tracks.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from evaluation.identification import split
from evaluation.lfw import load_lfw
from evaluation.metrics import threshold_at_rate
from evaluation.walkers import (
    FPS,
    WIDTH,
    ObservedTrack,
    PhotoRenderer,
    background_of,
    networks_key,
    schedule_walkers,
    snap,
    watch,
)
from models import load_recognizer, recognizer_card
from synthetic.corridor import Corridor, Truth
from watchlist.thresholds import Thresholds

REQUESTED_FPIR = (0.1, 0.03, 0.01, 0.003)
MEASURED_FPIR = (1e-2, 3e-3)
WATCHLIST_SIZES = (10, 100, 1000)
WATCHLISTS = 20  # watchlists of each size
FACE_BINS = ((0, 16), (16, 24), (24, 40), (40, 1000))


@dataclass(frozen=True)
class Margins:
    """Margins above the threshold of each walker's best track; minus infinity where there is none.

    Attributes:
        mate: of walkers on the watchlist, to the right person at rank one.
        face_px: their largest face width in pixels.
        impostor: of strangers, to anybody.
    """

    mate: NDArray[np.float64]
    face_px: NDArray[np.float64]
    impostor: NDArray[np.float64]


def margins(
    walkers: list[int], tracks: list[ObservedTrack], scores: NDArray[np.float32], gallery: NDArray[np.intp], needed: list[float]
) -> Margins:
    """Margins for one watchlist.

    Args:
        walkers: person of each walker; -1 for walkers who are enrolled with the photo they walk with, who are left out.
        tracks: the tracks.
        scores: cosines (tracks, people) of each track to everybody.
        gallery: people on the watchlist.
        needed: threshold of each track.
    """
    best = gallery[scores[:, gallery].argmax(1)]
    above = scores[np.arange(len(tracks)), best] - np.array(needed)
    top, right, size = (np.full(len(walkers), low) for low in (-np.inf, -np.inf, 0.0))
    for track, found, margin in zip(tracks, best, above, strict=True):
        top[track.walker] = max(top[track.walker], margin)
        size[track.walker] = max(size[track.walker], track.face_px)
        if found == walkers[track.walker]:
            right[track.walker] = max(right[track.walker], margin)
    listed = np.isin(walkers, gallery)
    return Margins(right[listed], size[listed], top[~listed & (np.array(walkers) >= 0)])


def pooled_margins(draws: list[Margins]) -> Margins:
    """The margins of several watchlists as one."""
    return Margins(*(np.concatenate([getattr(m, field.name) for m in draws]) for field in fields(Margins)))


def fnir(found: Margins, rate: float, part: NDArray[np.bool_] | None = None) -> float:
    """FNIR with all thresholds shifted so that a share ``rate`` of the strangers raises an alarm; ``part`` selects mates."""
    mate = found.mate if part is None else found.mate[part]
    return float((mate <= threshold_at_rate(rate, found.impostor)).mean())


def draw_watchlist(known: NDArray[np.intp], everybody: int, size: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a watchlist of ``size`` people, up to half of them from ``known``."""
    listed = rng.choice(known, min(size // 2, len(known)), replace=False)
    others = rng.choice(np.setdiff1d(np.arange(everybody), known), size - len(listed), replace=False)
    return np.concatenate([listed, others])


def evaluate(
    people: NDArray[np.str_],
    vectors: NDArray[np.float32],
    truth: list[Truth],
    seen: list[ObservedTrack],
    known_names: list[str],
    thresholds: Thresholds,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """All rates, for each size of watchlist, over `WATCHLISTS` random ones.

    Args:
        people: names of all who may be on a list, sorted; ``vectors`` (people, D) their enrolled photos.
        truth: who walked.
        seen: the tracks.
        known_names: those who walk with another photo than the enrolled one.
        thresholds: that are measured.
        rng: draws the lists.
    """
    walking = np.searchsorted(people, [t.walker.name for t in truth])
    known = np.searchsorted(people, known_names)
    tracks = [t for t in seen if t.embedding is not None]
    scores = np.stack([t.embedding for t in tracks if t.embedding is not None]) @ vectors.T
    tracked = {t.walker for t in seen}
    result: dict[str, Any] = {
        "known": len(known),
        "strangers": len(walking) - len(known),
        "not_tracked": len(walking) - len(tracked),
        "not_assessable": len(tracked) - len({t.walker for t in tracks}),
        "lists": WATCHLISTS,
        "galleries": {},
    }
    for size in WATCHLIST_SIZES:
        needed = {rate: [thresholds.cosine(rate, size, t.face_px, t.shots) for t in tracks] for rate in REQUESTED_FPIR}
        draws: dict[float, list[Margins]] = {rate: [] for rate in REQUESTED_FPIR}
        for _ in range(WATCHLISTS):
            gallery = draw_watchlist(known, len(people), size, rng)
            same_photo = np.isin(walking, gallery) & ~np.isin(walking, known)
            walkers = np.where(same_photo, -1, walking).tolist()
            for rate, found in draws.items():
                found.append(margins(walkers, tracks, scores, gallery, needed[rate]))
        by_rate = {rate: pooled_margins(found) for rate, found in draws.items()}
        at = by_rate[0.01]
        strangers = len(walking) - len(known)
        result["galleries"][str(size)] = {
            "asked": [
                {
                    "fpir": r,
                    "measured": float((m.impostor >= 0).mean()),
                    "error": 2 * float(np.sqrt(r * (1 - r) / strangers)),
                    "fnir": float((m.mate < 0).mean()),
                }
                for r, m in by_rate.items()
            ],
            "fnir_at_measured": {str(rate): fnir(at, rate) for rate in MEASURED_FPIR},
            "rank_one_missed": float((at.mate == -np.inf).mean()),
            "by_face_px": {
                f"{low}-{high}": {
                    "known": int(part.sum()),
                    "fnir_at_1e-2": fnir(at, 1e-2, part) if part.any() else None,
                }
                for low, high in FACE_BINS
                for part in [(at.face_px > low) & (at.face_px <= high)]
            },
        }
    return result


def show(result: dict[str, Any], console: Console) -> None:
    console.print(
        f"{result['known']} known and {result['strangers']} strangers walked; {result['not_tracked']} never tracked, "
        f"{result['not_assessable']} not assessable; {result['lists']} lists of each length"
    )
    table = Table(
        "gallery",
        *(f"asked {rate:g}: measured / FNIR" for rate in REQUESTED_FPIR),
        *(f"FNIR at {r:g}" for r in MEASURED_FPIR),
        box=None,
    )
    sizes = Table("gallery", *(f"FNIR at 1e-2, {low}-{high} px" for low, high in FACE_BINS), box=None)
    for size, row in result["galleries"].items():
        cells = [f"{a['measured']:.4f} ± {a['error']:.4f} / {a['fnir']:.3f}" for a in row["asked"]]
        table.add_row(size, *cells, *(f"{v:.3f}" for v in row["fnir_at_measured"].values()))
        bins = row["by_face_px"].values()
        sizes.add_row(size, *("-" if b["fnir_at_1e-2"] is None else f"{b['fnir_at_1e-2']:.3f} of {b['known']}" for b in bins))
    console.print(table)
    console.print(sizes)


def plot(result: dict[str, Any], path: Path) -> None:
    """Plot the measured against the requested FPIR, with the band from a third to three times."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5, 5))
    line = np.array([1e-3, 0.3])
    axes.fill_between(line, line / 3, line * 3, alpha=0.15, label="a third to three times")
    axes.plot(line, line, color="grey", linewidth=1)
    for size, row in result["galleries"].items():
        floor = 0.3 / result["strangers"] / result["lists"]  # where not one stranger raised an alarm
        axes.plot(
            [a["fpir"] for a in row["asked"]], [max(a["measured"], floor) for a in row["asked"]], "o-", label=f"{size} enrolled"
        )
    axes.set(xscale="log", yscale="log", xlabel="FPIR asked for", ylabel=f"share of {result['strangers']} strangers")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--known", type=int, default=150)
    parser.add_argument("--strangers", type=int, default=450)
    parser.add_argument("--clip", default="corridor-walking.mp4", help="clip of DATA/videos for the background")
    parser.add_argument("--keep", type=Path, help="folder for film and tracks, which are used again")
    parser.add_argument("--quick", action="store_true", help="without a film: shots of random cameras become templates")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console, rng = Console(width=160), np.random.default_rng(0)
    lfw = load_lfw(args.data)
    _, probes, strangers = split(lfw)
    known_rows = rng.permutation(probes)[: args.known]
    stranger_rows = rng.permutation(strangers)[: args.strangers]
    known_names = [str(lfw.names[row]) for row in known_rows]
    chips = {str(lfw.names[row]): lfw.chips[row] for row in (*known_rows, *stranger_rows)}
    walkers, seconds = schedule_walkers(list(chips), rng)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if args.quick:
            truth = [Truth(w, []) for w in walkers]
            own = f"snapped-{len(walkers)}-{networks_key()}.npz"
            seen = snap([chips[w.name] for w in walkers], folder / own, rng)
        else:
            scene = Corridor(walkers, PhotoRenderer(chips), WIDTH, FPS, 1, background_of(args.data / "videos" / args.clip))
            truth, seen = watch(scene, seconds, folder, console)
    people, first = np.unique(lfw.names, return_index=True)
    vectors = load_recognizer().embed_with_quality(lfw.chips[first])[0]
    result = evaluate(people, vectors, truth, seen, known_names, Thresholds(recognizer_card()["impostors"]), rng)
    show(result, console)
    if args.plot:
        plot(result, args.plot)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
