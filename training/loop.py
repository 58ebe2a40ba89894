"""What every training script shares: schedule, weight average, checkpoints, log, batches made ahead.

A run lives in one folder: ``state.pt`` (everything needed to go on), ``log.csv`` and the best weights.
Starting the same command again continues where the last checkpoint stood.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

CHECKPOINT_SECONDS = 150


def cosine_lr(step: int, total: int, warmup: int = 300) -> float:
    """Factor on the learning rate: linear warm-up, then half a cosine to 1 %."""
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclass(frozen=True)
class Plan:
    """What a training command was asked for; ``preset`` holds at least samples, batch and lr."""

    args: argparse.Namespace
    preset: dict[str, Any]
    steps: int
    device: str

    @property
    def batch(self) -> int:
        return int(self.preset["batch"])


def plan(doc: str | None, presets: dict[str, dict[str, Any]], **extra: str) -> Plan:
    """Read the command line every training script shares; ``extra`` are further required paths and what they are."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="see training/README.md")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    for name, about in extra.items():
        parser.add_argument(f"--{name}", type=Path, required=True, help=about)
    parser.add_argument("--cache", type=Path, default=Path(".cache"), help="decoded chips are kept here")
    parser.add_argument("--preset", choices=presets, default="cpu")
    parser.add_argument("--samples", type=int, help="instead of the preset's")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    preset = presets[args.preset]
    steps = (args.samples or preset["samples"]) // preset["batch"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"{device}, bfloat16 autocast, channels_last, {steps} steps of {preset['batch']}", flush=True)
    cv2.setNumThreads(1)
    return Plan(args, preset, steps, device)


class Average:
    """Exponential moving average of a network's weights and buffers, with a short memory at first."""

    def __init__(self, net: nn.Module, decay: float = 0.999) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for mine, other in zip(self.net.state_dict().values(), net.state_dict().values(), strict=True):
            if mine.dtype.is_floating_point:
                mine.lerp_(other.to(mine.dtype), 1 - decay)
            else:
                mine.copy_(other)


def ahead(make: Callable[[int], Any], start: int, stop: int, threads: int = 1, depth: int = 4) -> Iterator[Any]:
    """Yield ``make(step)`` for each step, made in background threads; step order is kept."""
    slots: list[queue.Queue[Any]] = [queue.Queue(max(1, depth // threads)) for _ in range(threads)]

    def work(worker: int) -> None:
        for step in range(start + worker, stop, threads):
            try:
                slots[worker].put(make(step))
            except Exception as error:  # handed to the consumer, who raises it
                slots[worker].put(error)
                return

    for worker in range(threads):
        threading.Thread(target=work, args=(worker,), daemon=True).start()
    for step in range(start, stop):
        item = slots[(step - start) % threads].get()
        if isinstance(item, Exception):
            raise item
        yield item


class Run:
    """One training run: optimiser, schedule, average, log and checkpoints of one network."""

    def __init__(self, folder: Path, net: nn.Module, steps: int, batch: int, lr: float, weight_decay: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.folder, self.net, self.steps, self.batch, self.lr, self.seed = folder, net, steps, batch, lr, seed
        folder.mkdir(parents=True, exist_ok=True)
        decayed = [p for p in net.parameters() if p.ndim > 1]
        plain = [p for p in net.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=lr, fused=True)
        self.average = Average(net)
        self.step = 0
        self.seconds = 0.0
        if (folder / "state.pt").exists():
            self._resume()
        self._started = self._saved = time.monotonic()
        self._first = self.step
        self._sums: dict[str, float] = {}
        self._count = 0

    def rng(self, step: int) -> np.random.Generator:
        """The random numbers of one step: the same after a resume as without it."""
        return np.random.default_rng((self.seed, step))

    def update(self, loss: torch.Tensor, **parts: torch.Tensor | float) -> None:
        """One optimiser step on ``loss``; ``parts`` are averaged into the log."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * cosine_lr(self.step, self.steps)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimizer.step()
        self.average.update(self.net)
        self.step += 1
        self._count += 1
        for name, value in {"loss": loss, **parts}.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(value.detach() if isinstance(value, torch.Tensor) else value)
        if self.step % 100 == 0 or self.step == self.steps:
            self._log()
        if time.monotonic() - self._saved > CHECKPOINT_SECONDS or self.step == self.steps:
            self.save()

    def save(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._saved
        state = {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "average_steps": self.average.steps,
            "optimizer": self.optimizer.state_dict(),
            "seconds": self.seconds,
        }
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").rename(self.folder / "state.pt")
        self._saved = now

    def _resume(self) -> None:
        state = torch.load(self.folder / "state.pt", weights_only=True)
        self.net.load_state_dict(state["net"])
        self.average.net.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        print(f"resumed at step {self.step} of {self.steps}")

    def _log(self) -> None:
        means = {name: value / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        elapsed = time.monotonic() - self._started
        rate = (self.step - self._first) * self.batch / elapsed
        left = (self.steps - self.step) * self.batch / rate
        row = {"step": self.step, "samples": self.step * self.batch, **{k: round(v, 5) for k, v in means.items()}}
        path = self.folder / "log.csv"
        fresh = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        shown = "  ".join(f"{k} {v:.4f}" for k, v in means.items())
        print(f"{self.step:6d}/{self.steps}  {shown}  {rate:.0f}/s  {left / 60:.0f} min left", flush=True)
