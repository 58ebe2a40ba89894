"""The command line that all training scripts share, and the run it configures."""

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

ENDLESS = 10**9  # number of steps with --minutes, which ends the run earlier


@dataclass(frozen=True)
class Plan:
    """Parsed command line of a training script.

    Attributes:
        args: all options.
        preset: samples, batch and lr of the preset; batch and lr are overridden by the command line.
        steps: number of optimiser steps; with ``--minutes`` a number that is never reached.
        device: ``cpu`` or ``cuda``.
    """

    args: argparse.Namespace
    preset: dict[str, Any]
    steps: int
    device: str

    @property
    def batch(self) -> int:
        return int(self.preset["batch"])

    def run(self, net: nn.Module, weight_decay: float = 0.0, arguments: dict[str, Any] | None = None, **options: Any) -> Run:
        """Create the `Run` of ``net`` from the command line; ``options`` are further keywords of `Run`."""
        args = self.args
        given = {"start": getattr(args, "start", None), "minutes": args.minutes, **options}
        return Run(args.out, net, self.steps, self.batch, self.preset["lr"], weight_decay, args.seed, arguments, **given)


def plan(doc: str | None, presets: dict[str, dict[str, Any]], **own: dict[str, Any]) -> Plan:
    """Parse the command line, seed torch and choose the device.

    Args:
        doc: help text.
        presets: samples, batch and lr of each ``--preset``.
        **own: further options of the script by name; each value holds keywords of `argparse.ArgumentParser.add_argument`.

    Raises:
        SystemExit: an option is invalid, or ``--samples`` is less than one batch.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="see training/README.md")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    for name, option in own.items():
        parser.add_argument(name if option.pop("positional", False) else f"--{name.replace('_', '-')}", **option)
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="folder of decoded chips")
    parser.add_argument("--preset", choices=presets, default="cpu")
    parser.add_argument("--samples", type=int, help="in place of the preset's")
    parser.add_argument("--batch", type=int, help="in place of the preset's")
    parser.add_argument("--minutes", type=positive, help="train for this long, with a schedule by time, in place of --samples")
    parser.add_argument("--lr", type=float, help="learning rate in place of the preset's")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    preset = presets[args.preset] | {name: given for name in ("lr", "batch") if (given := getattr(args, name))}
    steps = ENDLESS if args.minutes else (args.samples or preset["samples"]) // preset["batch"]
    if steps < 1:
        parser.error(f"--samples: must be at least one batch ({preset['batch']})")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    long = f"{args.minutes:g} minutes" if args.minutes else f"{steps} steps"
    print(f"{machine(device)} ({compute_dtype(device)[1]}), channels_last, {long} of {preset['batch']}", flush=True)
    cv2.setNumThreads(1)
    return Plan(args, preset, steps, device)


def positive(value: str) -> float:
    """Parse a number above 0 for argparse."""
    number = float(value)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{value}: must be above 0")
    return number
