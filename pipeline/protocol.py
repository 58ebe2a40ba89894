"""What the engine asks of the things it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Batch = list[Any]
"""Records of one kind. What crosses a group boundary has the attributes the group's ``key`` names.

A live record has ``captured``, the Unix time of the picture it is about; each stage's delay is measured from it.
"""


class Stage(Protocol):
    """One step of the work, an ordinary class whose constructor keywords are its configuration.

    `open` loads what is heavy, once. `flush` gives what is still held at the end of a source and leaves the
    stage as new. `close` frees. A stage must give the same output for the same input, and `process` may be
    given the same record again after a failure. A class that writes results has ``writes = True``: a graph has one of it.
    """

    def open(self) -> None: ...

    def process(self, batch: Batch) -> Batch: ...

    def flush(self) -> Batch: ...

    def close(self) -> None: ...


@runtime_checkable
class Stateful(Protocol):
    """A stage that remembers between batches, so that a checkpoint must hold it.

    State is plain data (`pipeline.checkpoint_format`): None, numbers, text, bytes, arrays, lists and dicts of them. `restore`
    raises ValueError, TypeError or LookupError for anything it cannot go on from.
    """

    def state(self) -> Any: ...

    def restore(self, state: Any) -> None: ...


@runtime_checkable
class Counting(Protocol):
    """A stage with counters of its own, such as rejections by reason."""

    def counters(self) -> dict[str, int]: ...


@dataclass(frozen=True)
class SourceSpec:
    """One thing to read: ``name`` is unique within a run, ``url`` a file path or a URL; ``options`` are for its reader."""

    name: str
    url: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass
class SourceReport:
    """How reading a source ended.

    ``status`` is ``ok``, ``incomplete`` (part was lost, ``reason`` says what), ``failed`` or ``stopped``;
    ``position_s`` and ``duration_s`` are PTS seconds; ``choices`` says what was chosen automatically, and why. ``state`` is
    where a camera stands, ``delay_s`` how old its last picture was when it had been searched. ``file`` is the `file_stamp` of
    what was read, if it stayed the same meanwhile. ``started_at`` is the Unix time of a recording's PTS 0, None where it is not
    known; ``started_from`` says how it is known.
    """

    name: str
    url: str
    status: str = "ok"
    reason: str = ""
    position_s: float = 0.0
    duration_s: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    state: str = ""
    delay_s: float | None = None
    file: str = ""
    started_at: float | None = None
    started_from: str = ""


class Source(Protocol):
    """Reads one source after another. `start` raises SourceError if it cannot be opened. A class that reads cameras has
    ``live = True``: frames may be dropped, and no checkpoint is kept."""

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        """Open a source; with ``after_s`` the first record is the first one later than that PTS."""

    def read(self) -> Batch | None:
        """The next records, or None at the end. None of them at all: a live stream broke off and may go on later."""

    def report(self) -> SourceReport: ...

    def stop(self) -> None:
        """End reading soon; called from another thread."""

    def close(self) -> None: ...


class Outbox(Protocol):
    """Where a group's output goes. `send` may wait: that is the back-pressure."""

    def send(self, batch: Batch) -> None: ...

    def when_written(self, action: Callable[[], None]) -> None:
        """Run ``action`` once everything sent so far is written for good."""

    def drain(self) -> None:
        """Wait until everything sent is written for good."""

    def abandon(self) -> None:
        """After a fault: wait for what was sent, whatever becomes of it; no action given to `when_written` is run any more."""

    def set_aside_count(self, source: str) -> int:
        """How many records of a source were given up, because the batch they were in killed every worker that took it."""
