"""The training loop that all recipes share: schedule, weight average, checkpoints and log.

A run has one folder with ``state.pt`` (the checkpoint) and ``log.csv``. The same command resumes from the last checkpoint.
"""

from __future__ import annotations

import contextlib
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
from training.common.prefetch import prefetch
from training.common.runs import current_command, current_commit, load_checkpoint, provenance_of
from training.common.weight_average import WeightAverage

CHECKPOINT_SECONDS = 150
BAR = 20
WARMUP = 300  # largest number of warm-up steps
MAX_BAD_STEPS = 10  # consecutive steps with a non-finite gradient after which a run stops


def cosine_lr(step: int, total: int, progress: float | None = None) -> float:
    """Return the learning rate factor: linear warm-up over at most a tenth of the run, then a half cosine down to 0.01.

    Args:
        step: steps done.
        total: steps in all.
        progress: 0..1 for runs scheduled by time; None: ``step / total``.
    """
    warmup = min(WARMUP, total // 10)
    if step < warmup and (progress is None or progress < 0.1):
        return max((step + 1) / warmup, 10 * (progress or 0.0))
    done = (step - warmup) / max(1, total - warmup) if progress is None else progress
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def write_log(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a CSV log, and drop rows with the same or a later step, which an interrupted run left.

    Args:
        path: CSV file; it is created if missing and replaced atomically.
        row: values by column, with an integer ``step``. New columns are added; missing values stay empty.
    """
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


@dataclass(frozen=True)
class Adversary:
    """A critic and its optimiser, which are saved and resumed with the run."""

    net: nn.Module
    optimizer: torch.optim.Optimizer


class Run:
    """One training run: optimiser, learning rate schedule, weight average, log and checkpoints of one network."""

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
        adversary: Adversary | None = None,
        auxiliary: nn.Module | None = None,
        betas: tuple[float, float] = (0.9, 0.999),
        constant: bool = False,
        clip: float = 5.0,
        muon: bool = False,
        start: Path | None = None,
        data_commands: Sequence[str] = (),
        minutes: float | None = None,
    ) -> None:
        """Start a run, or resume it if ``folder`` holds a checkpoint of the same command.

        Args:
            folder: folder of the checkpoint and the log.
            net: network to train, on its device.
            steps: optimiser steps in all.
            batch: samples per step, for the log.
            lr: peak learning rate. A higher one trains faster until the loss diverges.
            weight_decay: weight decay of matrices and convolutions; biases and norms have none.
            seed: seed of `rng`.
            arguments: constructor keywords of ``net``, saved with its weights.
            adversary: a critic that is saved and resumed with the run.
            auxiliary: modules trained with ``net`` and saved, but not published (margin head, projection).
            betas: Adam's betas.
            constant: keep the learning rate constant: no warm-up, no decay.
            clip: gradients are clipped to this norm; lower is more stable and slower.
            muon: use Muon in place of AdamW.
            start: run or weight file that ``net`` was initialised from; its provenance goes into the card.
            data_commands: commands that made the training data, for the card.
            minutes: length of the run by time; it replaces ``steps`` in the schedule.
        """
        self.arguments, self.adversary, self.constant, self.clip = arguments or {}, adversary, constant, clip
        self.auxiliary = auxiliary or nn.Module()
        self.command, self.commit, self.data_commands = current_command(), current_commit(), list(data_commands)
        self.before = asdict(provenance_of(start)) if start else None
        self.folder, self.net, self.steps, self.batch, self.lr, self.seed = folder, net, steps, batch, lr, seed
        folder.mkdir(parents=True, exist_ok=True)
        self.trained = [*net.parameters(), *self.auxiliary.parameters()]
        self.optimizer: torch.optim.AdamW | Muon
        if muon:
            self.optimizer = Muon(self.trained, lr, weight_decay, betas)
        else:
            decayed = [p for p in self.trained if p.ndim > 1]
            plain = [p for p in self.trained if p.ndim <= 1]
            groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
            self.optimizer = torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)
        self.average = WeightAverage(net)
        self.step = 0
        self.seconds, self.minutes = 0.0, minutes
        self._of = "" if minutes else f" of {steps}"
        if (folder / "state.pt").exists():
            self._resume()
        self._stop_requested = False
        if threading.current_thread() is threading.main_thread():
            for wish in (signal.SIGTERM, signal.SIGINT):
                signal.signal(wish, self._request_stop)
        self._started = self._saved = time.monotonic()
        self._first, self.done = self.step, self.progress >= 1
        # Tensors are summed on the device and read only when logged, because each read synchronises with the GPU.
        self._sums: dict[str, torch.Tensor | float] = {}
        self._count = self._broken = 0

    def batches(self, make: Callable[[int], Any], threads: int) -> Iterator[Any]:
        """Yield ``make(step)`` for each remaining step, computed in ``threads`` background threads (one on a CPU)."""
        on_cpu = next(self.net.parameters()).device.type == "cpu"
        with contextlib.closing(prefetch(make, self.step, self.steps, 1 if on_cpu else threads)) as made:
            while not self.done and (batch := next(made, None)) is not None:
                yield batch

    def rng(self, step: int) -> np.random.Generator:
        """Return the random generator of a step: the same after a resume, another one in a run started from this run."""
        return np.random.default_rng((self.seed, self.before["samples"] if self.before else 0, step))

    @property
    def progress(self) -> float:
        """Share of the schedule done, 0..1."""
        return self.progress_at(self.step)

    def progress_at(self, step: int) -> float:
        """Return `progress` at ``step``. A run scheduled by time returns the current progress for any step."""
        if self.minutes is None:
            return step / self.steps
        return min(1.0, (self.seconds + time.monotonic() - self._saved) / (60 * self.minutes))

    def update(self, loss: torch.Tensor, *, then: Callable[[], None] | None = None, **parts: torch.Tensor | float) -> None:
        """Take one optimiser step.

        Args:
            loss: scalar tensor.
            then: called after the step and before a checkpoint is saved.
            **parts: further scalars; the log records their means.

        Raises:
            SystemExit: after SIGTERM or SIGINT, once the checkpoint is saved; or after `MAX_BAD_STEPS` consecutive non-finite
                gradients, with the last checkpoint kept.
        """
        schedule = 1.0 if self.constant else cosine_lr(self.step, self.steps, self.progress if self.minutes else None)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * schedule
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parts["gradient"] = length = nn.utils.clip_grad_norm_(self.trained, self.clip)
        if self._is_finite(length):
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
        due = self._stop_requested or time.monotonic() - self._saved > CHECKPOINT_SECONDS or self.done
        if due and not self._broken:
            self.save()
        if self._stop_requested:
            raise SystemExit(f"stopped at step {self.step}{self._of}; the same command resumes it")

    def _is_finite(self, length: torch.Tensor) -> bool:
        """Return whether the gradient norm is finite. Raises SystemExit after `MAX_BAD_STEPS` consecutive non-finite norms."""
        self._broken = 0 if math.isfinite(float(length)) else self._broken + 1
        if self._broken == MAX_BAD_STEPS:
            raise SystemExit(
                f"{self.folder}: the loss is not finite since step {self.step - MAX_BAD_STEPS + 1}; "
                "lower --lr and start again (the last checkpoint is kept)"
            )
        if self._broken:  # batch norm statistics may hold NaN: restore them from the average
            for own, kept in zip(self.net.buffers(), self.average.net.buffers(), strict=True):
                own.copy_(kept)
        return self._broken == 0

    def save(self) -> None:
        """Write the checkpoint ``state.pt``; the former one is replaced atomically."""
        now = time.monotonic()
        self.seconds += now - self._saved
        state = {
            "step": self.step,
            "network": type(self.net).__name__,
            "arguments": self.arguments,
            "command": self.command,
            "commit": self.commit,
            "made_of": self.data_commands,
            "samples": self.step * self.batch,
            "before": self.before,
            "machine": machine(next(self.net.parameters()).device.type),
            "net": self.net.state_dict(),
            "average": self.average.net.state_dict(),
            "average_steps": self.average.steps,
            "auxiliary": self.auxiliary.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seconds": self.seconds,
        }
        if self.adversary:
            state["rival"] = self.adversary.net.state_dict(), self.adversary.optimizer.state_dict()
        torch.save(state, self.folder / "state.part")
        (self.folder / "state.part").rename(self.folder / "state.pt")
        self._saved = now

    def _request_stop(self, *_: object) -> None:
        self._stop_requested = True

    def _resume(self) -> None:
        state = load_checkpoint(self.folder)
        if state["command"] != self.command:
            raise SystemExit(
                f"{self.folder}: holds a run of another command; name another --out, or resume it with\n{state['command']}"
            )
        self.net.load_state_dict(state["net"])
        self.average.net.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.auxiliary.load_state_dict(state.get("auxiliary", state.get("beside", {})))
        if self.adversary:
            self.adversary.net.load_state_dict(state["rival"][0])
            self.adversary.optimizer.load_state_dict(state["rival"][1])
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
