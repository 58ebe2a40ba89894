"""Small stages and sources without faces, for the engine's tests. Ray workers import them from here."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import OutputError, SourceError
from pipeline.protocol import SourceReport, SourceSpec


@dataclass(frozen=True)
class Item:
    source: str
    track: str
    value: int


class Numbers:
    """Reads ``url`` as a count and gives that many numbers, one each second of PTS."""

    def __init__(self, pause_s: float = 0.0) -> None:
        self._pause_s = pause_s
        self._report = SourceReport("", "")

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        if not spec.url.isdigit():
            raise SourceError("not a number")
        self._end = int(spec.url)
        self._next = 0 if after_s is None else int(after_s) + 1
        self._report = SourceReport(spec.name, spec.url, duration_s=float(self._end))

    def read(self) -> list[Item] | None:
        if self._next >= self._end:
            return None
        time.sleep(self._pause_s)
        item = Item(self._report.name, str(self._next % 3), self._next)
        self._report.position_s = float(self._next)
        self._next += 1
        return [item]

    def report(self) -> SourceReport:
        return self._report

    def stop(self) -> None:
        self._end = 0

    def close(self) -> None:
        return


class Pass:
    """Hands on what it gets; the base of the other fakes."""

    def open(self) -> None:
        return

    def process(self, batch: list[Any]) -> list[Any]:
        return batch

    def flush(self) -> list[Any]:
        return []

    def close(self) -> None:
        return


class Sums(Pass):
    """Remembers a running sum: a stage whose state a checkpoint must hold."""

    def __init__(self) -> None:
        self.total = 0

    def process(self, batch: list[Any]) -> list[Any]:
        out = []
        for item in batch:
            self.total += item.value
            out.append(Item(item.source, item.track, self.total))
        return out

    def flush(self) -> list[Any]:
        self.total = 0
        return []

    def state(self) -> Any:
        return self.total

    def restore(self, state: Any) -> None:
        self.total = state


class Slow(Pass):
    def __init__(self, seconds: float = 0.02) -> None:
        self._seconds = seconds

    def process(self, batch: list[Any]) -> list[Any]:
        time.sleep(self._seconds)
        return batch


class DieOnce(Pass):
    """Kills its own process with SIGKILL at a value, but only the first time: ``marker`` remembers."""

    def __init__(self, out: Path, at: int = 10, marker: str = "died") -> None:
        self._out, self._at, self._marker = out, at, marker

    def process(self, batch: list[Any]) -> list[Any]:
        if any(item.value >= self._at for item in batch) and not (self._out / self._marker).exists():
            (self._out / self._marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


class DieAlways(Pass):
    """Kills its own process whenever it is given this value."""

    def __init__(self, at: int = 10) -> None:
        self._at = at

    def process(self, batch: list[Any]) -> list[Any]:
        if any(item.value == self._at for item in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return batch


class DieOnOpen(Pass):
    """Kills its own process while it starts, so many times; a file a time remembers."""

    def __init__(self, out: Path, times: int = 1) -> None:
        self._out, self._times = out, times

    def open(self) -> None:
        if len(list(self._out.glob("start-*"))) < self._times:
            (self._out / f"start-{time.time_ns()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class Lines(Pass):
    """Writes each item as a line, one file a key; the name of the line's file tells the replica's process too."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def process(self, batch: list[Any]) -> list[Any]:
        for item in batch:
            with (self._out / f"{item.source}-{item.track}.txt").open("a") as file:
                file.write(f"{item.value}\n")
        return batch


class Picky(Pass):
    """Refuses its settings at once, or only when it is opened."""

    def __init__(self, late: bool = False) -> None:
        if not late:
            raise ValueError("never fits")

    def open(self) -> None:
        raise ValueError("cannot be opened")


class FaultIn(Pass):
    """Raises for every record of one source, and for nothing when that has ended."""

    def __init__(self, name: str = "bad") -> None:
        self._name = name

    def process(self, batch: list[Any]) -> list[Any]:
        if any(record.source == self._name for record in batch):
            raise ZeroDivisionError("a fault")
        return batch


class FullDisk(Pass):
    def process(self, batch: list[Any]) -> list[Any]:
        raise OutputError("cannot write: No space left on device")


class Ticks(Numbers):
    """A camera: numbers without end, one each ``pause_s`` seconds; its url is the first of them."""

    def __init__(self, pause_s: float = 0.02) -> None:
        super().__init__(pause_s)

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        self._report = SourceReport(spec.name, spec.url, state="streaming")
        self._next, self._end = int(spec.url), 10**9


class Poison(Pass):
    """Raises for one value, as a stage with a fault does."""

    def __init__(self, at: int = 1005) -> None:
        self._at = at

    def process(self, batch: list[Any]) -> list[Any]:
        if any(item.value == self._at for item in batch):
            raise ZeroDivisionError("a fault")
        return batch
