"""A group's stages, one behind the other, with their times and counts."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import FarsightError, SettingsError
from pipeline.latency import Delays
from pipeline.protocol import Batch, Counting, Stage, Stateful
from pipeline.settings import GroupSettings
from pipeline.stage_settings import build_stage


@dataclass
class StageMetrics:
    """Batches and records of a stage, the seconds it was busy, and how old live records were when it was done with them."""

    name: str
    batches: int = 0
    records_in: int = 0
    records_out: int = 0
    busy_s: float = 0.0
    delays: dict[int, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


class Chain:
    """Runs batches through stages in order. Plain Python: both engines and the tests use it."""

    def __init__(self, stages: list[tuple[str, Stage]]) -> None:
        self.stages = [stage for _, stage in stages]
        self._metrics = [StageMetrics(name) for name, _ in stages]
        self._delays = [Delays() for _ in stages]
        self._make: Callable[[], list[Stage]] | None = None

    @classmethod
    def build(cls, group: GroupSettings, context: dict[str, Any]) -> Chain:
        def make() -> list[Stage]:
            return [build_stage(stage, context) for stage in group.stages]

        names = [stage.use.rpartition(".")[2].lower() for stage in group.stages]
        found = cls(list(zip(names, make(), strict=True)))
        found._make = make
        return found

    def open(self) -> None:
        """Open every stage. Raises SettingsError where one cannot be opened as it was configured, or on this machine."""
        for stage, metrics in zip(self.stages, self._metrics, strict=True):
            try:
                stage.open()
            except (FarsightError, sqlite3.Error):
                raise
            except Exception as error:
                raise SettingsError(f"{metrics.name}: {error or type(error).__name__}") from None

    def process(self, batch: Batch, first: int = 0) -> Batch:
        """Pass a batch through the stages from ``first`` on."""
        for place in range(first, len(self.stages)):
            stage, metrics = self.stages[place], self._metrics[place]
            if not batch:
                break
            metrics.batches += 1
            metrics.records_in += len(batch)
            started = time.perf_counter()
            try:
                batch = stage.process(batch)
            except Exception as error:
                if not getattr(error, "__notes__", None):
                    error.add_note(metrics.name)  # whose fault it is, for `pipeline.faults`
                raise
            metrics.busy_s += time.perf_counter() - started
            metrics.records_out += len(batch)
            for record in batch:
                if (captured := getattr(record, "captured", None)) is not None:
                    self._delays[place].add(time.time() - captured)
        return batch

    def flush(self) -> Batch:
        """End of a source: what each stage still holds goes through those after it."""
        rest: Batch = []
        for place, stage in enumerate(self.stages):
            held = stage.flush()
            self._metrics[place].records_out += len(held)
            rest.extend(self.process(held, place + 1))
        return rest

    def close(self) -> None:
        for stage in self.stages:
            stage.close()

    def renew(self) -> None:
        """After a fault that left the stages in disorder: as new, without what they held."""
        for stage in self.stages:
            with contextlib.suppress(Exception):
                stage.close()
        if self._make is not None:
            self.stages = self._make()
        self.open()

    def metrics(self) -> list[StageMetrics]:
        for stage, metrics, delays in zip(self.stages, self._metrics, self._delays, strict=True):
            metrics.delays = dict(delays.bins)
            if isinstance(stage, Counting):
                metrics.counters = stage.counters()
        return self._metrics

    def state(self) -> dict[str, Any]:
        """What the stages remember, by their names, as plain data for a checkpoint."""
        return {name: stage.state() for name, stage in self._stateful()}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave. Raises SettingsError for anything a stage would not have put there."""
        stages = dict(self._stateful())
        if state.keys() != stages.keys():
            raise SettingsError(f"--resume: the checkpoint is of the stages {', '.join(state)}, here are {', '.join(stages)}")
        for name, stage in stages.items():
            try:
                stage.restore(state[name])
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                why = f"{type(error).__name__}: {error}"
                raise SettingsError(f"--resume: the checkpoint of {name} cannot be used ({why}); name another folder") from None

    def _stateful(self) -> list[tuple[str, Stateful]]:
        """The stages that remember, with their names; the second of a name is told by its place."""
        found: dict[str, Stateful] = {}
        for place, (metrics, stage) in enumerate(zip(self._metrics, self.stages, strict=True)):
            if isinstance(stage, Stateful):
                found[metrics.name if metrics.name not in found else f"{metrics.name} {place}"] = stage
        return list(found.items())
