"""Runs the stages of a group in order and measures them."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pipeline.errors import FarsightError, SettingsError
from pipeline.latency import LatencyHistogram
from pipeline.protocol import Batch, Counting, Stage, Stateful
from pipeline.settings import GroupSettings
from pipeline.stage_settings import build_stage


@dataclass
class StageMetrics:
    """Counters of one stage.

    Attributes:
        name: the class name in lower case.
        batches: input batches.
        records_in: input records.
        records_out: output records.
        busy_s: seconds in `process`.
        latencies: bins of a `LatencyHistogram`: seconds from a live record's capture to the end of this stage.
        counters: the stage's own counters.
    """

    name: str
    batches: int = 0
    records_in: int = 0
    records_out: int = 0
    busy_s: float = 0.0
    latencies: dict[int, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)


class Chain:
    """Stages in order. Both engines and the tests use it.

    Args:
        stages: (name, stage) pairs.
    """

    def __init__(self, stages: list[tuple[str, Stage]]) -> None:
        self.stages = [stage for _, stage in stages]
        self._metrics = [StageMetrics(name) for name, _ in stages]
        self._latencies = [LatencyHistogram() for _ in stages]
        self._make: Callable[[], list[Stage]] | None = None

    @classmethod
    def build(cls, group: GroupSettings, context: dict[str, Any]) -> Chain:
        """Make the stages of a group. ``context`` fills their keywords by name. Raises SettingsError."""

        def make() -> list[Stage]:
            return [build_stage(stage, context) for stage in group.stages]

        names = [stage.use.rpartition(".")[2].lower() for stage in group.stages]
        found = cls(list(zip(names, make(), strict=True)))
        found._make = make
        return found

    def open(self) -> None:
        """Open every stage. Raises SettingsError if one cannot be opened with its settings or on this machine."""
        for stage, metrics in zip(self.stages, self._metrics, strict=True):
            try:
                stage.open()
            except (FarsightError, sqlite3.Error):
                raise
            except Exception as error:
                raise SettingsError(f"{metrics.name}: {error or type(error).__name__}") from None

    def process(self, batch: Batch, first: int = 0) -> Batch:
        """Run a batch through the stages, starting with stage number ``first``."""
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
                    error.add_note(metrics.name)  # the name of the stage, for `pipeline.stage_errors`
                raise
            metrics.busy_s += time.perf_counter() - started
            metrics.records_out += len(batch)
            for record in batch:
                if (captured := getattr(record, "captured", None)) is not None:
                    self._latencies[place].add(time.time() - captured)
        return batch

    def flush(self) -> Batch:
        """End of a source: flush each stage and run its output through the following stages."""
        rest: Batch = []
        for place, stage in enumerate(self.stages):
            held = stage.flush()
            self._metrics[place].records_out += len(held)
            rest.extend(self.process(held, place + 1))
        return rest

    def close(self) -> None:
        """Close every stage."""
        for stage in self.stages:
            stage.close()

    def renew(self) -> None:
        """Replace the stages by new ones after an error. Their state is lost."""
        for stage in self.stages:
            with contextlib.suppress(Exception):
                stage.close()
        if self._make is not None:
            self.stages = self._make()
        self.open()

    def metrics(self) -> list[StageMetrics]:
        """The metrics of each stage until now."""
        for stage, metrics, latencies in zip(self.stages, self._metrics, self._latencies, strict=True):
            metrics.latencies = dict(latencies.bins)
            if isinstance(stage, Counting):
                metrics.counters = stage.counters()
        return self._metrics

    def state(self) -> dict[str, Any]:
        """The states of the stateful stages, by name, as plain data for a checkpoint."""
        return {name: stage.state() for name, stage in self._stateful()}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned. Raises SettingsError if it does not fit these stages."""
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
        """The stateful stages with their names. A second stage of the same name gets its position as a suffix."""
        found: dict[str, Stateful] = {}
        for place, (metrics, stage) in enumerate(zip(self._metrics, self.stages, strict=True)):
            if isinstance(stage, Stateful):
                found[metrics.name if metrics.name not in found else f"{metrics.name} {place}"] = stage
        return list(found.items())
