"""What a training was asked for on its command line, and the run it makes of that."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import nn

from models.runtime.devices import compute_dtype, machine
from training.common.loop import Run

ENDLESS = 10**9  # steps: time ends the run


@dataclass(frozen=True)
class Plan:
    """What a training command was asked for; ``preset`` holds at least samples, batch and lr. With ``--minutes`` ``steps`` is
    more than can be made in them."""

    args: argparse.Namespace
    preset: dict[str, Any]
    steps: int
    device: str

    @property
    def batch(self) -> int:
        return int(self.preset["batch"])

    def run(self, net: nn.Module, weight_decay: float = 0.0, arguments: dict[str, Any] | None = None, **options: Any) -> Run:
        """The run of a network as the command has it; ``options`` are further ones of `Run`."""
        args = self.args
        given = {"start": getattr(args, "start", None), "minutes": args.minutes, **options}
        return Run(args.out, net, self.steps, self.batch, self.preset["lr"], weight_decay, args.seed, arguments, **given)


def plan(doc: str | None, presets: dict[str, dict[str, Any]], **own: dict[str, Any]) -> Plan:
    """Read the command line every training script shares; ``own`` are a script's own options, as `add_argument` takes them."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="see training/README.md")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    for name, option in own.items():
        parser.add_argument(name if option.pop("positional", False) else f"--{name.replace('_', '-')}", **option)
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decoded chips are kept here")
    parser.add_argument("--preset", choices=presets, default="cpu")
    parser.add_argument("--samples", type=int, help="instead of the preset's")
    parser.add_argument("--batch", type=int, help="instead of the preset's")
    parser.add_argument("--minutes", type=positive, help="as many samples as can be seen in these, on a schedule of time")
    parser.add_argument("--lr", type=float, help="learning rate instead of the preset's")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    preset = presets[args.preset] | {name: given for name in ("lr", "batch") if (given := getattr(args, name))}
    steps = ENDLESS if args.minutes else (args.samples or preset["samples"]) // preset["batch"]
    if steps < 1:
        parser.error(f"--samples: fewer than one batch, of {preset['batch']}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    long = f"{args.minutes:g} minutes" if args.minutes else f"{steps} steps"
    print(f"{machine(device)} ({compute_dtype(device)[1]}), channels_last, {long} of {preset['batch']}", flush=True)
    cv2.setNumThreads(1)
    return Plan(args, preset, steps, device)


def positive(value: str) -> float:
    """A number above 0, as argparse reads it."""
    number = float(value)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{value}: must be above 0")
    return number
