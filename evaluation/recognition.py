"""How well a recogniser tells people apart when faces are small, and whether super-resolution helps it.

    python -m evaluation.recognition --data DATA [--pairs 3000] [--recognizer NAME=FILE ...] [--plot roc.png] [--write-card]

Verification on ``DATA/lfw-dev`` (10-fold protocol's pairs, folds 1 to 5; never trained on): accuracy, and TAR at FAR 1e-2 and
1e-3 (of which the latter rests on one or two pairs of strangers). `clean`: area sampling, at sides of the recogniser's
112-pixel crop (a face is about 0.7 of it wide), both pictures small (LR-LR) or one of them, each in turn (HR-LR). `cctv`: the
middle of what cameras do, HR-LR, at sides of the 128-pixel chip; `bicubic`: the same for what super-resolution papers test on.
A small face is embedded as it is (`direct`: the recogniser enlarges it itself), after bicubic enlargement, after the
super-resolution student, and as the mean of the direct and the super-resolved vector (`fused`). `cos` is the mean cosine of a
small face's vector to that of its own sharp chip. ``--recognizer`` puts others into the table: own weights, the folder of a
training, ONNX, edgeface=FILE, or dlib=FILE.dat (evaluation/dlib_recognizer.py). ``--write-card`` puts the figures, and the
scores strangers reach (evaluation/impostors.py), into the card of the last one named, else our own.
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
    """The table of recognisers by name, or only the ``chosen`` looks of it."""
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
    """What one protocol tells of the vectors of all sharp and all small chips."""
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
    if first:
        print(f"{'recogniser':12} {'look':7} side  protocol  {'input':8} accuracy  TAR@1e-2  TAR@1e-3    cos")
    rates = (100 * row[key] for key in ("accuracy", "tar_1e-2", "tar_1e-3"))
    about = f"{row['recognizer']:12} {row['look']:7} {row['side']:4}  {row['protocol']:8}  {row['input']:8}"
    print(about, *(f"{rate:8.1f} " for rate in rates), f"{row['cos']:5.3f}", flush=True)


def plot(path: Path, rows: list[Row]) -> None:
    """ROC (left) and DET (right) of every recogniser, cctv, direct."""
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
    parser.add_argument("--look", action="append", choices=("clean", "cctv", "bicubic"), help="only this one; may be repeated")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    last = args.recognizer[-1] if args.recognizer else ""
    if args.write_card and (is_edgeface(last) or is_dlib(last) or Path(last.partition("=")[2] or "none").is_dir()):
        parser.error("--write-card: EdgeFace, dlib and trainings not published have no card; name another recogniser last")
    if args.write_card and args.look:
        parser.error("--write-card: the card holds every look")
    lfw = load_lfw(args.data, args.pairs)
    restore = load_superres().upscale
    recognizers = open_recognizers(args.recognizer)
    name = last.partition("=")[0] or "farsight"
    recognizer = recognizers[name]
    file = Path(last.partition("=")[2]) if last else None
    impostors = impostor_scores(file, args.data, args.cache) if args.write_card else []  # first: its chips may be missing
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
        write_card(path, recognizer.card | {"impostors": impostors, "figures": figures})  # a foreign one has no file of it yet
        show(impostors)


def card_rows(rows: list[Row], name: str) -> list[Row]:
    """The rows of one recogniser as its card holds them."""
    return [
        {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items() if k not in ("scores", "same", "recognizer")}
        for row in rows
        if row["recognizer"] == name
    ]


if __name__ == "__main__":
    main()
