"""A group's stages, one behind the other, with their times and counts."""

from __future__ import annotations

import io
import pickle
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.protocol import Batch, Counting, Stage, Stateful
from pipeline.settings import GroupSettings, build_stage


@dataclass
class StageMetrics:
    """Records in and out of a stage, and the seconds it was busy."""

    name: str
    records_in: int = 0
    records_out: int = 0
    busy_s: float = 0.0
    counters: dict[str, int] = field(default_factory=dict)


class Chain:
    """Runs batches through stages in order. Plain Python: both engines and the tests use it."""

    def __init__(self, stages: list[tuple[str, Stage]]) -> None:
        self.stages = [stage for _, stage in stages]
        self._metrics = [StageMetrics(name) for name, _ in stages]

    @classmethod
    def build(cls, group: GroupSettings, context: dict[str, Any]) -> Chain:
        return cls([(s.use.rpartition(".")[2].lower(), build_stage(s, context)) for s in group.stages])

    def open(self) -> None:
        for stage in self.stages:
            stage.open()

    def process(self, batch: Batch, first: int = 0) -> Batch:
        """Pass a batch through the stages from ``first`` on."""
        for stage, metrics in zip(self.stages[first:], self._metrics[first:], strict=True):
            if not batch:
                break
            metrics.records_in += len(batch)
            started = time.perf_counter()
            batch = stage.process(batch)
            metrics.busy_s += time.perf_counter() - started
            metrics.records_out += len(batch)
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

    def metrics(self) -> list[StageMetrics]:
        for stage, metrics in zip(self.stages, self._metrics, strict=True):
            if isinstance(stage, Counting):
                metrics.counters = stage.counters()
        return self._metrics

    def state(self) -> bytes:
        """What the stages remember, for a checkpoint."""
        return pickle.dumps({i: s.state() for i, s in enumerate(self.stages) if isinstance(s, Stateful)})

    def restore(self, state: bytes) -> None:
        """Put back what `state` gave. Raises pickle.UnpicklingError for anything a stage would not have put there."""
        for place, held in _Unpickler(io.BytesIO(state)).load().items():
            stage = self.stages[place]
            if isinstance(stage, Stateful):
                stage.restore(held)


class _Unpickler(pickle.Unpickler):
    """Checkpoints travel with their output folder, so they may only hold the project's records and plain data."""

    ALLOWED = ("stages.", "pipeline.", "trackers.", "numpy.", "collections.", "builtins.", "copyreg.")
    FORBIDDEN = frozenset({"eval", "exec", "compile", "open", "__import__", "getattr", "setattr", "delattr", "globals", "input"})

    def find_class(self, module: str, name: str) -> Any:
        if not f"{module}.".startswith(self.ALLOWED) or name in self.FORBIDDEN or "." in name:
            raise pickle.UnpicklingError(f"checkpoint holds {module}.{name}, which no stage puts there")
        return super().find_class(module, name)
