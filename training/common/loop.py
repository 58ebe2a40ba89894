"""What every training script shares: schedule, weight average, checkpoints, log.

A run lives in one folder: ``state.pt`` (everything needed to go on), ``log.csv`` and the best weights.
Starting the same command again continues where the last checkpoint stood.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from models.runtime.devices import machine
from training.common.muon import Muon
from training.common.prefetch import ahead
from training.common.runs import made, own_command, own_commit, saved

CHECKPOINT_SECONDS = 150
BAR = 20
WARMUP = 300  # steps at most
BROKEN = 10  # steps in a row without a number for a loss, before a run gives up


def cosine_lr(step: int, total: int, progress: float | None = None) -> float:
    """Factor on the learning rate: linear warm-up, at most a tenth of the run, then half a cosine to 1 %; the cosine by
    ``progress`` 0..1 where that is known better than by the steps."""
    warmup = min(WARMUP, total // 10)
    if step < warmup and (progress is None or progress < 0.1):
        return max((step + 1) / warmup, 10 * (progress or 0.0))
    done = (step - warmup) / max(1, total - warmup) if progress is None else progress
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def write_log(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a log whose columns may come and go, in place of rows from this step on that a broken run has left."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="") as file:
            rows = [kept for kept in csv.DictReader(file) if int(kept["step"]) < row["step"]]
    rows.append(row)
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for each in rows for name in each)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)


class Average:
    """Exponential moving average of a network's weights and buffers, with a short memory at first."""

    def __init__(self, net: nn.Module, decay: float = 0.999) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        floating = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        mine = [pair[0] for pair in floating]
        torch._foreach_lerp_(mine, [other.to(own.dtype) for own, other in floating], 1 - decay)  # a GPU waits for each call
        for own, other in pairs:
            if not own.dtype.is_floating_point:
                own.copy_(other)


@dataclass(frozen=True)
class Rival:
    """A critic and its optimiser: saved and resumed with the run."""

    net: nn.Module
    optimizer: torch.optim.Optimizer


class Run:
    """One training run: optimiser, schedule, average, log and checkpoints of one network."""

    def __init__(
        self,
        folder: Path,
        net: nn.Module,
        steps: int,
        batch: int,
        lr: float,
        weight_decay: float,
        seed: int,
        arguments: dict[str, Any] | None = None,
        rival: Rival | None = None,
        beside: nn.Module | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        constant: bool = False,
        clip: float = 5.0,
        muon: bool = False,
        start: Path | None = None,
        made_of: Sequence[str] = (),
        minutes: float | None = None,
    ) -> None:
        """``arguments`` are those the network was made with, kept beside its weights; ``rival`` is trained against it;
        ``beside`` is trained with it and saved, but no part of what is published.

        With ``constant`` the learning rate stays as it is; ``clip`` is the longest gradient; ``muon``: instead of AdamW.
        ``start`` is the run or weight file whose weights ``net`` holds: the run keeps how they were made, and ``made_of``, the
        commands that made its data. With ``minutes`` the schedule goes by time, not by steps.
        """
        self.arguments, self.rival, self.constant, self.clip = arguments or {}, rival, constant, clip
        self.beside = beside or nn.Module()
        self.command, self.commit, self.made_of = own_command(), own_commit(), list(made_of)
        self.before = asdict(made(start)) if start else None
        self.folder, self.net, self.steps, self.batch, self.lr, self.seed = folder, net, steps, batch, lr, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.trained = [*net.parameters(), *self.beside.parameters()]
        self.optimizer: torch.optim.AdamW | Muon
        if muon:
            self.optimizer = Muon(self.trained, lr, weight_decay, betas)
        else:
            decayed = [p for p in self.trained if p.ndim > 1]
            plain = [p for p in self.trained if p.ndim <= 1]
            groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
            self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)
        self.average = Average(net)
        self.step = 0
        self.seconds, self.minutes = 0.0, minutes
        self._of = "" if minutes else f" of {steps}"
        if (folder / "state.pt").exists():
            self._resume()
        self._told_to_stop = False
        if threading.current_thread() is threading.main_thread():
            for wish in (signal.SIGTERM, signal.SIGINT):
                signal.signal(wish, self._stop_soon)
        self._started = self._saved = time.monotonic()
        self._first, self.done = self.step, self.progress >= 1
        self._sums: dict[str, torch.Tensor | float] = {}  # tensors are read when they are logged: each reading waits for the GPU
        self._count = self._broken = 0

    def batches(self, make: Callable[[int], Any], threads: int) -> Iterator[Any]:
        """``make(step)`` of each step that is still to be done, made in the background; on a CPU by one thread."""
        on_cpu = next(self.net.parameters()).device.type == "cpu"
        with contextlib.closing(ahead(make, self.step, self.steps, 1 if on_cpu else threads)) as made:
            while not self.done and (batch := next(made, None)) is not None:
                yield batch

    def rng(self, step: int) -> np.random.Generator:
        """The random numbers of one step: the same after a resume as without it, others than those it began with were made of."""
        return np.random.default_rng((self.seed, self.before["samples"] if self.before else 0, step))

    @property
    def progress(self) -> float:
        """How much of the schedule is done, 0..1."""
        return self.progress_at(self.step)

    def progress_at(self, step: int) -> float:
        """The same when ``step`` is made; with ``minutes``, now."""
        if self.minutes is None:
            return step / self.steps
        return min(1.0, (self.seconds + time.monotonic() - self._saved) / (60 * self.minutes))

    def update(self, loss: torch.Tensor, *, then: Callable[[], None] | None = None, **parts: torch.Tensor | float) -> None:
        """One optimiser step on ``loss``; ``parts`` are averaged into the log; ``then`` is called before anything is saved."""
        schedule = 1.0 if self.constant else cosine_lr(self.step, self.steps, self.progress if self.minutes else None)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * schedule
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parts["gradient"] = length = nn.utils.clip_grad_norm_(self.trained, self.clip)
        if self._sound(length):
            self.optimizer.step()
            self.average.update(self.net)
            if then:
                then()
        self.step += 1
        self._count += 1
        for name, value in {"loss": loss, **parts}.items():
            self._sums[name] = self._sums.get(name, 0.0) + (value.detach() if isinstance(value, torch.Tensor) else value)
        self.done = self.progress >= 1
        if self.step % 100 == 0 or self.done:
            self._log()
        due = self._told_to_stop or time.monotonic() - self._saved > CHECKPOINT_SECONDS or self.done
        if due and not self._broken:
            self.save()
        if self._told_to_stop:
            raise SystemExit(f"stopped at step {self.step}{self._of}; the same command goes on")

    def _sound(self, length: torch.Tensor) -> bool:
        """Whether a gradient of this length may be followed. Raises SystemExit, with the last checkpoint left as it is, after
        `BROKEN` in a row that may not: the weights are beyond help."""
        self._broken = 0 if math.isfinite(float(length)) else self._broken + 1
        if self._broken == BROKEN:
            raise SystemExit(
                f"the loss is no number since step {self.step - BROKEN + 1}; {self.folder} keeps what was saved before"
            )
        if self._broken:  # running statistics have seen what was no number
            for own, kept in zip(self.net.buffers(), self.average.net.buffers(), strict=True):
                own.copy_(kept)
        return self._broken == 0

    def save(self) -> None:
        now = time.monotonic()
        self.seconds += now - self._saved
        state = {
            "step": self.step,
            "network": type(self.net).__name__,
            "arguments": self.arguments,
            "command": self.command,
            "commit": self.commit,
            "made_of": self.made_of,
            "samples": self.step * self.batch,
            "before": self.before,
            "machine": machine(next(self.net.parameters()).device.type),
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "average_steps": self.average.steps,
            "beside": self.beside.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seconds": self.seconds,
        }
        if self.rival:
            state["rival"] = self.rival.net.state_dict(), self.rival.optimizer.state_dict()
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").rename(self.folder / "state.pt")
        self._saved = now

    def _stop_soon(self, *_: object) -> None:
        self._told_to_stop = True

    def _resume(self) -> None:
        state = saved(self.folder)
        if state["command"] != self.command:
            raise SystemExit(
                f"{self.folder} holds the run of another command; name another --out, or go on with\n{state['command']}"
            )
        self.net.load_state_dict(state["net"])
        self.average.net.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.beside.load_state_dict(state.get("beside", {}))
        if self.rival:
            self.rival.net.load_state_dict(state["rival"][0])
            self.rival.optimizer.load_state_dict(state["rival"][1])
        self.step, self.seconds, self.before = state["step"], state["seconds"], state["before"]
        print(f"resumed at step {self.step}{self._of}")

    def _log(self) -> None:
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        elapsed = time.monotonic() - self._started
        rate = (self.step - self._first) * self.batch / elapsed
        left = 60 * self.minutes * (1 - self.progress) if self.minutes else (self.steps - self.step) * self.batch / rate
        row = {"step": self.step, "samples": self.step * self.batch, **{k: round(v, 5) for k, v in means.items()}}
        write_log(self.folder / "log.csv", row)
        shown = "  ".join(f"{k} {v:.4f}" for k, v in means.items())
        bar = f"{'#' * int(BAR * self.progress):.<{BAR}}"
        print(f"[{bar}] {self.step}{self._of}  {shown}  {rate:.0f}/s  {left / 60:.0f} min left", flush=True)
