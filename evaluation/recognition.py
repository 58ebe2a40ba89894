"""Face verification at low resolution, with and without super-resolution.

    python -m evaluation.recognition --data DATA [--pairs 3000] [--recognizer NAME=FILE ...] [--plot roc.png] [--write-card]

Data: ``DATA/lfw-dev`` (pairs of folds 1 to 5 of the 10-fold protocol; never trained on). Metrics: accuracy, and TAR at FAR 1e-2
and 1e-3; the latter rests on one or two impostor pairs. Looks: `clean` is area sampling to a side of the recogniser's 112-pixel
crop (the face is about 0.7 of it), with both pictures small (LR-LR) or one of them, each in turn (HR-LR). `cctv` is the median
camera, HR-LR, at sides of the 128-pixel chip. `bicubic` is the test of super-resolution papers, likewise. Inputs: a small face
is embedded as it is (`direct`), after bicubic enlargement, after super-resolution (`student`), and as the mean of direct and
student (`fused`). `cos` is the mean cosine between the embeddings of the small and of the sharp chip.

``--recognizer`` adds recognisers: weights, the folder of a run, an ONNX file, edgeface=FILE, or dlib=FILE.dat
(evaluation/dlib_recognizer.py). ``--write-card`` writes the figures and the impostor scores (evaluation/impostors.py) into the
card of the last one named, else of the shipped one.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.impostors import impostor_scores, show
from evaluation.lfw import Chips, Embeddings, Lfw, Recognizer, degrade, embed_each_way, load_lfw
from evaluation.metrics import tar_at_far, verification_accuracy
from evaluation.recognizers import is_dlib, is_edgeface, open_recognizers
from models import load_superres, weights_path
from models.chip import CHIP
from models.networks.recognizer import VIEW
from models.weights_io import write_card
from training.common.degradations import VERSION

CLEAN = (112, 56, 28, 24, 20, 16, 14, 12)  # sides of the 112 crop
CCTV = (32, 24, 20, 16)  # sides of the 128 chip
BICUBIC = (32, 16)  # the same, as super-resolution papers make them
Row = dict[str, Any]


def verify(
    recognizers: dict[str, Recognizer], lfw: Lfw, restore: Callable[[Chips], Chips], chosen: list[str] | None = None
) -> list[Row]:
    """Measure all recognisers.

    Args:
        recognizers: by name.
        lfw: the test set.
        restore: super-resolves chips.
        chosen: only these looks.

    Returns:
        One row for each look, side, recogniser, input and protocol.
    """
    sharp = {name: recognizer.embed_with_quality(lfw.chips)[0] for name, recognizer in recognizers.items()}
    rows: list[Row] = []
    looks = [("clean", px, round(px * CHIP / VIEW), "area") for px in CLEAN] + [("cctv", s, s, "cctv-fixed") for s in CCTV]
    looks += [("bicubic", s, s, "bicubic") for s in BICUBIC]
    for look, side, chip_side, preset in (row for row in looks if chosen is None or row[0] in chosen):
        small = degrade(lfw.chips, preset, chip_side)
        restored = restore(small) if small.shape[1] < CHIP else small  # once for all recognisers
        for name, recognizer in recognizers.items():
            for kind, (vectors, _) in embed_each_way(recognizer, small, lambda _, made=restored: made).items():  # type: ignore[misc]
                for protocol in ("HR-LR", "LR-LR") if look == "clean" and side < VIEW else ("HR-LR",):
                    about = {"recognizer": name, "look": look, "side": side, "protocol": protocol, "input": kind}
                    rows.append(about | verification_metrics(sharp[name], vectors, lfw, protocol))
                    print_row(rows[-1], first=len(rows) == 1)
    return rows


def verification_metrics(sharp: Embeddings, small: Embeddings, lfw: Lfw, protocol: str) -> Row:
    """Metrics of one protocol.

    Args:
        sharp: embeddings (N, D) of the sharp chips.
        small: embeddings (N, D) of the small chips.
        lfw: the pairs.
        protocol: ``HR-LR`` or ``LR-LR``.
    """
    pairs = [(sharp[lfw.left], small[lfw.right]), (small[lfw.left], sharp[lfw.right])]
    if protocol == "LR-LR":
        pairs = [(small[lfw.left], small[lfw.right])]
    scores = np.concatenate([(one * other).sum(1) for one, other in pairs])
    same, fold = (np.tile(of, len(pairs)) for of in (lfw.same, lfw.fold))
    return {
        "accuracy": verification_accuracy(scores, same, fold),
        "tar_1e-2": tar_at_far(scores, same, 1e-2),
        "tar_1e-3": tar_at_far(scores, same, 1e-3),
        "cos": float((sharp * small).sum(1).mean()),
        "scores": scores,
        "same": same,
    }


def print_row(row: Row, first: bool) -> None:
    """Print a row of the table, after the heading if it is the first."""
    if first:
        print(f"{'recogniser':12} {'look':7} side  protocol  {'input':8} accuracy  TAR@1e-2  TAR@1e-3    cos")
    rates = (100 * row[key] for key in ("accuracy", "tar_1e-2", "tar_1e-3"))
    about = f"{row['recognizer']:12} {row['look']:7} {row['side']:4}  {row['protocol']:8}  {row['input']:8}"
    print(about, *(f"{rate:8.1f} " for rate in rates), f"{row['cos']:5.3f}", flush=True)


def plot(path: Path, rows: list[Row]) -> None:
    """Plot ROC (left) and DET (right) of every recogniser for the look cctv and the input direct."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (roc, det) = pyplot.subplots(1, 2, figsize=(12, 5))
    fars = np.geomspace(1e-3, 1, 60)
    for row in rows:
        if row["look"] == "cctv" and row["input"] == "direct":
            tars = np.array([tar_at_far(row["scores"], row["same"], far) for far in fars])
            label = f"{row['recognizer']}, {row['side']} px"
            roc.plot(fars, tars, label=label)
            det.plot(fars, np.maximum(1 - tars, 1e-4), label=label)
    roc.set(xscale="log", xlabel="FAR", ylabel="TAR", title="ROC")
    det.set(xscale="log", yscale="log", xlabel="FAR", ylabel="FRR", title="DET")
    roc.legend()
    figure.savefig(path, dpi=110, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--recognizer", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument(
        "--look", action="append", choices=("clean", "cctv", "bicubic"), help="measure only this look; may be repeated"
    )
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    last = args.recognizer[-1] if args.recognizer else ""
    if args.write_card and (is_edgeface(last) or is_dlib(last) or Path(last.partition("=")[2] or "none").is_dir()):
        parser.error("--write-card: EdgeFace, dlib and unpublished runs have no card; name another recogniser last")
    if args.write_card and args.look:
        parser.error("--write-card: the card needs every look; leave --look out")
    lfw = load_lfw(args.data, args.pairs)
    restore = load_superres().upscale
    recognizers = open_recognizers(args.recognizer)
    name = last.partition("=")[0] or "farsight"
    recognizer = recognizers[name]
    file = Path(last.partition("=")[2]) if last else None
    impostors = impostor_scores(file, args.data, args.cache) if args.write_card else []  # first, because its chips may be missing
    rows = verify(recognizers, lfw, restore, args.look)
    if args.plot:
        plot(args.plot, rows)
    if args.write_card:
        path = weights_path(file, "recognizer")
        figures = {
            "command": f"python -m evaluation.recognition --data DATA --pairs {args.pairs}"
            + (f" --recognizer {name}={path.name}" if args.recognizer else ""),
            "data": f"lfw-dev, {len(lfw.same)} pairs; degradations version {VERSION}",
            "rows": card_rows(rows, name),
        }
        write_card(path, recognizer.card | {"impostors": impostors, "figures": figures})  # an ONNX file may have no card yet
        show(impostors)


def card_rows(rows: list[Row], name: str) -> list[Row]:
    """The rows of one recogniser, rounded for its card."""
    return [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items() if k not in ("scores", "same", "recognizer")}
        for row in rows
        if row["recognizer"] == name
    ]


if __name__ == "__main__":
    main()
