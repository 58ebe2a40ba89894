"""A group's stages, one behind the other, with their times and counts."""

from __future__ import annotations

import io
import pickle
import time
from dataclasses import dataclass, field
from typing import Any

from pipeline.delays import Delays
from pipeline.errors import SettingsError
from pipeline.protocol import Batch, Counting, Stage, Stateful
from pipeline.settings import GroupSettings, build_stage


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

    @classmethod
    def build(cls, group: GroupSettings, context: dict[str, Any]) -> Chain:
        return cls([(s.use.rpartition(".")[2].lower(), build_stage(s, context)) for s in group.stages])

    def open(self) -> None:
        """Open every stage. Raises SettingsError where one cannot be opened as it was configured."""
        for stage, metrics in zip(self.stages, self._metrics, strict=True):
            try:
                stage.open()
            except ValueError as error:
                raise SettingsError(f"{metrics.name}: {error}") from None

    def process(self, batch: Batch, first: int = 0) -> Batch:
        """Pass a batch through the stages from ``first`` on."""
        for place in range(first, len(self.stages)):
            stage, metrics = self.stages[place], self._metrics[place]
            if not batch:
                break
            metrics.batches += 1
            metrics.records_in += len(batch)
            started = time.perf_counter()
            batch = stage.process(batch)
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

    def metrics(self) -> list[StageMetrics]:
        for stage, metrics, delays in zip(self.stages, self._metrics, self._delays, strict=True):
            metrics.delays = dict(delays.bins)
            if isinstance(stage, Counting):
                metrics.counters = stage.counters()
        return self._metrics

    def state(self) -> bytes:
        """What the stages remember, for a checkpoint."""
        return pickle.dumps({i: s.state() for i, s in enumerate(self.stages) if isinstance(s, Stateful)})

    def restore(self, state: bytes) -> None:
        """Put back what `state` gave. Raises SettingsError for anything a stage would not have put there."""
        try:
            states = _Unpickler(io.BytesIO(state)).load()
            for place, held in states.items():
                stage = self.stages[place]
                if isinstance(stage, Stateful):
                    stage.restore(held)
        except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, LookupError, TypeError, ValueError) as error:
            raise SettingsError(f"the checkpoint cannot be used ({error}); start in another folder") from None


class _Unpickler(pickle.Unpickler):
    """Checkpoints travel with their output folder, so they may hold records and plain data but nothing that runs."""

    DATA = frozenset(
        {
            ("collections", "Counter"),
            ("collections", "deque"),
            ("collections", "OrderedDict"),
            ("copyreg", "_reconstructor"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            *(("builtins", name) for name in ("object", "set", "frozenset", "bytearray", "complex", "slice", "range")),
        }
    )
    CLASSES = ("stages.", "trackers.")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self.DATA or module.startswith(self.CLASSES):
            found = super().find_class(module, name)
            if (module, name) in self.DATA or (isinstance(found, type) and found.__module__ == module):
                return found
        raise pickle.UnpicklingError(f"it holds {module}.{name}")
