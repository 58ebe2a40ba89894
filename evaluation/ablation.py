"""Ablation of the training recipes: short trainings of equal length from scratch, over several seeds.

    python -m evaluation.ablation superres   --data DATA --teacher runs/superres-teacher --out runs/ablation-superres
    python -m evaluation.ablation recognizer --data DATA --teacher models/weights/recognizer.safetensors \
        --out runs/ablation-recognizer

Options: ``--samples`` (3,200 and 30,000), ``--seeds`` (3) and ``--only VARIANT``. On 2 cores a training takes five minutes;
finished ones are not repeated. Writes ``table-*.json`` into the folder and prints mean and standard deviation over seeds.
Super-resolution: x8 from clean bicubic on dev chips. Recognition: on 1,500 pairs of lfw-dev, accuracy in % of sharp against
16-pixel faces, and TAR in % at FAR 1e-2 of sharp against 20-pixel faces by the median camera.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.lfw import degrade, embed_each_way, load_lfw
from evaluation.metrics import tar_at_far, verification_accuracy
from evaluation.recognizers import TrainedRecognizer
from evaluation.superres import Evaluator, load_run
from models.chip import CHIP
from models.networks.recognizer import VIEW
from training.common.degradations import PRESETS
from training.data.chips import load_chips

Measure = Callable[[str, Path], dict[str, float]]  # of a run, by its name and folder
TEACHER = ("--teacher", "{teacher}")
LABELS_ONLY = ("--no-embedding", "--margin", "cosface")
SIDE, PAIRS = 16, 1500


@dataclass(frozen=True)
class Recipe:
    """The variants of one training script, and how a run is measured.

    Attributes:
        samples: default length of a training.
        variants: options of the training script by name of the variant.
        measure: makes the function that measures a run.
    """

    samples: int
    variants: dict[str, tuple[str, ...]]
    measure: Callable[[argparse.Namespace], Measure]


def super_resolution(args: argparse.Namespace) -> Measure:
    """Measure PSNR, SSIM and identity at x8 on dev chips."""
    chips = load_chips(args.data, args.cache)
    rows = chips.rows_with_detail(dev=True)[: args.faces]
    judge, points = Evaluator(np.ascontiguousarray(chips.images[rows]), None, lpips=False), chips.landmarks68()[rows]
    low = np.stack([PRESETS["bicubic"](c, SIDE, np.random.default_rng(0)) for c in judge.sharp])

    def measure(name: str, folder: Path) -> dict[str, float]:
        measured = judge(load_run(name, folder)[0].upscale(low, points))
        return {m: measured[m] for m in ("db", "ssim", "id")}

    return measure


def recognition(args: argparse.Namespace) -> Measure:
    """Measure verification of small faces on ``lfw-dev``."""
    lfw = load_lfw(args.data, PAIRS)
    clean, cctv = degrade(lfw.chips, "area", round(SIDE * CHIP / VIEW)), degrade(lfw.chips, "cctv-fixed", 20)

    def measure(name: str, folder: Path) -> dict[str, float]:
        network = TrainedRecognizer(folder, mirror=False)  # halves the time; all variants are measured the same way
        sharp = network.embed_with_quality(lfw.chips)[0]
        scores = [
            (sharp[lfw.left] * embed_each_way(network, small, lambda chips: chips, ("direct",))["direct"][0][lfw.right]).sum(1)
            for small in (clean, cctv)
        ]
        return {
            "16 px": 100 * verification_accuracy(scores[0], lfw.same, lfw.fold),
            "cctv 20": 100 * tar_at_far(scores[1], lfw.same, 1e-2),
        }

    return measure


RECIPES = {
    "superres": Recipe(
        3200,
        {
            "whole recipe (features: L1)": TEACHER,
            "features: cosine": (*TEACHER, "--features", "cosine"),
            "output distillation only": (*TEACHER, "--features", "none"),
            "no distillation": (),
            "no attention loss": (*TEACHER, "--no-attention"),
            "no identity term": (*TEACHER, "--no-identity"),
        },
        super_resolution,
    ),
    "recognizer": Recipe(
        30_000,
        {
            "vectors and stages, cosine": TEACHER,
            "vectors and stages, cosine, weight 120": (*TEACHER, "--weight", "120"),
            "vectors and stages, L2": (*TEACHER, "--features", "l2"),
            "vectors only": (),
            "stages and CosFace (F-SKD)": (*TEACHER, *LABELS_ONLY),
            "stages, L2, and CosFace": (*TEACHER, "--features", "l2", *LABELS_ONLY),
            "no distillation (CosFace)": LABELS_ONLY,
        },
        recognition,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=RECIPES)
    for name in ("data", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--samples", type=int)
    parser.add_argument("--batch", type=int, help="batch of the trainings; a smaller one gives more steps")
    parser.add_argument("--preset", choices=("cpu", "gpu"), help="batch and learning rate of the trainings")
    parser.add_argument("--look", help="degradation of the trainings; cctv needs no PyAV")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--only", nargs="+", metavar="VARIANT")
    args = parser.parse_args()
    if args.look and args.network == "superres":
        parser.error("--look: applies to the recognizer only; leave it out for superres")
    recipe = RECIPES[args.network]
    variants = {name: options for name, options in recipe.variants.items() if args.only is None or name in args.only}
    if len(variants) < len(args.only or variants):
        parser.error(f"--only: must be among {', '.join(recipe.variants)}")
    measure = recipe.measure(args)
    overrides = {"samples": args.samples or recipe.samples, "batch": args.batch, "preset": args.preset, "look": args.look}
    given = {f"--{name}": str(value) for name, value in overrides.items() if value}
    shared, kind = [part for option in given.items() for part in option], "-".join(given.values())
    path = args.out / f"table-{kind}.json"
    table: dict[str, list[dict[str, float]]] = json.loads(path.read_text()) if path.exists() else {}
    table |= {name: [] for name in variants}
    for seed in range(args.seeds):
        for name, options in variants.items():
            folder = args.out / f"{name.replace(' ', '-').replace(':', '')}-{kind}-{seed}"
            train(args, folder, (*shared, "--seed", str(seed), *options))
            table[name].append(measure(name, folder))
            path.write_text(json.dumps(table, indent=1) + "\n")
            found = {m: np.array([row[m] for row in table[name]]) for m in table[name][0]}
            print(f"{name:28}  " + "  ".join(f"{m} {v.mean():.3f} ± {sample_std(v):.3f}" for m, v in found.items()), flush=True)


def sample_std(values: NDArray[np.float64]) -> float:
    """Sample standard deviation over seeds; NaN for one seed."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def train(args: argparse.Namespace, folder: Path, options: tuple[str, ...]) -> None:
    """Run one training, unless its folder holds a finished one."""
    command = [sys.executable, "-m", f"training.{args.network}.train", "--data", str(args.data), "--cache", str(args.cache)]
    command += ["--out", str(folder), *(o.format(teacher=args.teacher) for o in options)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
