"""Open-set identification from video: FNIR, and the measured against the requested FPIR.

    python -m evaluation.watchlist --data DATA [--known 150] [--strangers 450] [--plot FILE] [--json FILE]

Faces of ``DATA/lfw-dev`` (never trained on) walk through a real corridor, drawn over the background of ``--clip``, with noise,
blur and H.264. The shipped pipeline processes the clip as any recording. Then watchlists of several sizes are drawn from all
people; up to half of each are people who walked with another photo than the enrolled one. Everybody else who walked is a
stranger. Each walker has one photo, so appearance varies less than in reality: the rates are of recognition, not of behaviour.

Each walker counts once a watchlist. A stranger is a false alarm if any of their tracks matches anybody. A known person is found
if one track matches them; FNIR counts all others (a stranger's photo scored higher, below the threshold, not assessable, never
tracked). `asked` is the FPIR the thresholds were computed for, `measured` the share of strangers. FNIR at a measured rate
shifts all thresholds by the same amount.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from cli.settings import load_settings
from configs import CONFIGS
from evaluation.identification import split
from evaluation.lfw import Lfw, load_lfw
from evaluation.metrics import threshold_at_rate
from models import load_recognizer, recognizer_card
from models.networks.facegen import Look
from pipeline.engine import Job
from pipeline.inline import InlineEngine
from pipeline.protocol import SourceSpec
from synthetic.corridor import Corridor, Image, Truth, Walker, write_clip
from synthetic.scoring import followed_walker
from watchlist.store import Store
from watchlist.thresholds import Thresholds

REQUESTED_FPIR = (0.1, 0.03, 0.01, 0.003)
MEASURED_FPIR = (1e-2, 3e-3)
WATCHLIST_SIZES = (10, 100, 1000)
WATCHLISTS = 20  # lists of each length
FACE_BINS = ((0, 16), (16, 24), (24, 40), (40, 1000))
WIDTH, FPS, WALK_S, CONCURRENT = 960, 10, 5.0, 6
PAUSE_S = 2.0  # gap between two people on a lane, longer than a tracker bridges


class PhotoRenderer:
    """Renders a walker as their photo, with the light of the place.

    Args:
        chips: uint8 (128, 128, 3) RGB by name of the walker.
    """

    def __init__(self, chips: dict[str, Image]) -> None:
        self._chips = chips
        mask = np.zeros((128, 128), np.float32)
        cv2.ellipse(mask, (64, 66), (56, 64), 0, 0, 360, 1.0, -1)  # with the hair
        self._mask = cv2.GaussianBlur(mask, (0, 0), 3).astype(np.float32)

    def __call__(self, walker: Walker, look: Look) -> tuple[Image, NDArray[np.float32]]:
        return cv2.convertScaleAbs(self._chips[walker.name], alpha=look.gain).astype(np.uint8), self._mask


@dataclass(frozen=True)
class ObservedTrack:
    """A track of the pipeline.

    Attributes:
        walker: row of the walker it follows.
        embedding: its template (D,), or None if it is not assessable.
        face_px: width of its best face in pixels.
    """

    walker: int
    embedding: NDArray[np.float32] | None
    face_px: float


def background_of(clip: Path) -> Image:
    """The background of a clip: the median of its frames, uint8 (540, 960, 3) RGB."""
    with av.open(str(clip)) as container:
        frames = [f.to_ndarray(format="rgb24") for k, f in enumerate(container.decode(video=0)) if k % 40 == 0]
    still = np.median(np.stack(frames[:60]), axis=0).astype(np.uint8)
    return cv2.resize(still, (WIDTH, WIDTH * 9 // 16), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def schedule_walkers(names: list[str], rng: np.random.Generator) -> tuple[list[Walker], float]:
    """Schedule everybody to walk once, `CONCURRENT` at a time, with faces up to 14 to 62 pixels wide.

    Returns:
        The walkers, and the length of the scene in seconds.
    """
    order = rng.permutation(len(names))
    walkers = []
    for place, row in enumerate(order):
        start = place * (WALK_S + PAUSE_S) / CONCURRENT
        lane = float(np.linspace(-0.8, 0.8, CONCURRENT)[place % CONCURRENT] + rng.uniform(-0.05, 0.05))
        near = float(np.exp(rng.uniform(np.log(14 / 62), 0)))
        walkers.append(Walker(names[row], int(row), False, start, start + WALK_S, lane, near, float(rng.uniform(0, 6))))
    return walkers, start + WALK_S


def run_pipeline(scene: Corridor, seconds: float, folder: Path, console: Console) -> tuple[list[Truth], list[ObservedTrack]]:
    """Render the scene and run the pipeline on it.

    Returns:
        The ground truth, and the tracks that follow a walker.
    """
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("filming", total=1.0)
        clip, truth = write_clip(scene, folder / "walk.mp4", seconds, lambda share: bar.update(task, completed=share))
    settings = load_settings(CONFIGS / "recording.yaml")
    database = folder / "farsight.db"
    Store(database).close()
    context = {"out": folder, "database": database, "fpir": settings.fpir, "device": settings.device}
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("watching", total=seconds)
        InlineEngine().run(
            Job(settings.groups, [SourceSpec("walk", str(clip))], context, None, 1e9),
            lambda status: bar.update(task, completed=status.sources[0].position_s if status.sources else 0),
        )
    store = Store(database)
    boxes = [np.array(t.boxes, np.float32).reshape(-1, 5) for t in truth]
    seen = []
    for track in store.tracks():
        walker = followed_walker(track, boxes)
        if walker is not None:
            vector = None if track["template"] is None else np.frombuffer(track["template"], np.float16).astype(np.float32)
            assessable = track["outcome"] != "not_assessable"
            seen.append(ObservedTrack(walker, vector if assessable else None, track["face_px"]))
    store.close()
    return truth, seen


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
    lfw: Lfw, truth: list[Truth], seen: list[ObservedTrack], known_names: list[str], rng: np.random.Generator
) -> dict[str, Any]:
    """All rates, for each size of watchlist, over `WATCHLISTS` random ones."""
    thresholds = Thresholds(recognizer_card()["impostors"])
    people, first = np.unique(lfw.names, return_index=True)
    vectors = load_recognizer().embed_with_quality(lfw.chips[first])[0]
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
        needed = {rate: [thresholds.cosine(rate, size, t.face_px) for t in tracks] for rate in REQUESTED_FPIR}
        draws: dict[float, list[Margins]] = {rate: [] for rate in REQUESTED_FPIR}
        for _ in range(WATCHLISTS):
            gallery = draw_watchlist(known, len(people), size, rng)
            same_photo = np.isin(walking, gallery) & ~np.isin(walking, known)
            walkers = np.where(same_photo, -1, walking).tolist()
            for rate, found in draws.items():
                found.append(margins(walkers, tracks, scores, gallery, needed[rate]))
        by_rate = {rate: pooled_margins(found) for rate, found in draws.items()}
        at = by_rate[0.01]
        result["galleries"][str(size)] = {
            "asked": [
                {"fpir": r, "measured": float((m.impostor >= 0).mean()), "fnir": float((m.mate < 0).mean())}
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
        cells = [f"{a['measured']:.4f} / {a['fnir']:.3f}" for a in row["asked"]]
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
    with tempfile.TemporaryDirectory() as folder:
        scene = Corridor(walkers, PhotoRenderer(chips), WIDTH, FPS, 1, background_of(args.data / "videos" / args.clip))
        truth, seen = run_pipeline(scene, seconds, Path(folder), console)
    result = evaluate(lfw, truth, seen, known_names, rng)
    show(result, console)
    if args.plot:
        plot(result, args.plot)
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
