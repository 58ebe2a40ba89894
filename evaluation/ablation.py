"""What each part of the super-resolution recipe is worth: short, equal trainings from scratch, several seeds each.

    python -m evaluation.ablation --data DATA --teacher runs/superres-teacher --out runs/ablation [--samples 8000] [--seeds 3]

On 2 cores each training of 8,000 samples takes five to eight minutes; those that are done are not repeated. Writes
``table.json`` into the folder and prints, for ×8 from clean bicubic on dev chips, mean and standard deviation over the seeds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from evaluation.superres import Judge, trained
from training.chips import load_chips
from training.degradations import PRESETS

TEACHER = ("--teacher", "{teacher}")
VARIANTS: dict[str, tuple[str, ...]] = {
    "whole recipe (features: L1)": TEACHER,
    "features: cosine": (*TEACHER, "--features", "cosine"),
    "output distillation only": (*TEACHER, "--features", "none"),
    "no distillation": (),
    "no attention loss": (*TEACHER, "--no-attention"),
    "no identity term": (*TEACHER, "--no-identity"),
}
MEASURES = ("db", "ssim", "id")
SIDE = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--samples", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--faces", type=int, default=300)
    args = parser.parse_args()
    chips = load_chips(args.data, args.cache)
    rows = chips.detailed(dev=True)[: args.faces]
    judge, points = Judge(np.ascontiguousarray(chips.images[rows]), None, lpips=False), chips.landmarks68()[rows]
    low = np.stack([PRESETS["bicubic"](c, SIDE, np.random.default_rng(0)) for c in judge.sharp])
    table: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    print(f"{'variant':28}  " + "  ".join(f"{m:>15}" for m in MEASURES))
    for seed in range(args.seeds):
        for name, options in VARIANTS.items():
            folder = args.out / f"{name.replace(' ', '-').replace(':', '')}-{seed}"
            train(args, folder, options, seed)
            measured = judge(trained(name, folder).upscale(low, points))
            table[name].append({m: measured[m] for m in MEASURES})
            (args.out / "table.json").write_text(json.dumps(table, indent=1) + "\n")
            found = {m: np.array([row[m] for row in table[name]]) for m in MEASURES}
            print(f"{name:28}  " + "  ".join(f"{v.mean():7.3f} ± {v.std():5.3f}" for v in found.values()), flush=True)


def train(args: argparse.Namespace, folder: Path, options: tuple[str, ...], seed: int) -> None:
    """One training; nothing if it is done already."""
    command = [sys.executable, "-m", "training.train_superres", "--data", str(args.data), "--cache", str(args.cache)]
    command += ["--out", str(folder), "--samples", str(args.samples), "--seed", str(seed)]
    subprocess.run([*command, *(o.format(teacher=args.teacher) for o in options)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
