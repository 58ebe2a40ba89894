"""The interfaces of what the engine runs: sources, stages, outboxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

Batch = list[Any]
"""Records of one kind. Records that cross a group boundary have the attributes that the group's ``key`` names.

A live record has ``captured``, the Unix time of its frame. The latency of each stage is measured from it.
"""


class Stage(Protocol):
    """One step of the work: an ordinary class whose constructor keywords are its settings.

    A stage must give the same output for the same input. `process` may get the same record again after a failure. A class that
    writes results has ``writes = True``; a graph has at most one of each such class.
    """

    def open(self) -> None:
        """Load what is expensive; called once before the first batch."""

    def process(self, batch: Batch) -> Batch:
        """Process records, in order; may return fewer or more."""

    def flush(self) -> Batch:
        """End of a source: return what is still held, and be as new."""

    def close(self) -> None:
        """Free resources."""


@runtime_checkable
class Stateful(Protocol):
    """A stage that remembers between batches. Its state is part of each checkpoint."""

    def state(self) -> Any:
        """What it remembers, as plain data (`pipeline.checkpoint_format`)."""

    def restore(self, state: Any) -> None:
        """Continue from what `state` returned. Raises ValueError, TypeError or LookupError if that is not possible."""


@runtime_checkable
class Counting(Protocol):
    """A stage with counters of its own, such as rejections by reason."""

    def counters(self) -> dict[str, int]:
        """Counts by name. Names that begin with ``trouble: `` are logged; ``fault: `` ones make the program unhealthy."""


@dataclass(frozen=True)
class SourceSpec:
    """One thing to read.

    Attributes:
        name: unique within a run.
        url: a file path or a URL.
        options: (key, value) pairs for its reader.
    """

    name: str
    url: str
    options: tuple[tuple[str, str], ...] = ()


@dataclass
class SourceReport:
    """How reading a source goes, or how it ended.

    Attributes:
        name: as in `SourceSpec`.
        url: its address without credentials.
        status: ``ok``, ``incomplete`` (part was lost), ``failed`` or ``stopped``.
        reason: what was lost, or why it failed.
        position_s: PTS seconds read so far.
        duration_s: length in PTS seconds; None if it is not known.
        counts: counters such as ``frames_decoded``.
        choices: what was chosen automatically, and why.
        state: of a camera: ``starting``, ``connecting``, ``streaming``, ``backing off`` or ``stopped``.
        delay_s: age in seconds of a camera's last frame when it had been processed.
        file: the `file_stamp` of the file, if it did not change while it was read.
        started_at: Unix time of a recording's PTS 0; None if it is not known.
        started_from: how ``started_at`` is known.
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
    """Reads sources, one after another.

    A class that reads cameras has ``live = True``: it may drop frames, and no checkpoints are kept.
    """

    def start(self, spec: SourceSpec, after_s: float | None) -> None:
        """Open a source. With ``after_s`` the first record is the first one later than that PTS. Raises SourceError."""

    def read(self) -> Batch | None:
        """The next records; None at the end. An empty batch means that a live stream broke off and may continue later."""

    def report(self) -> SourceReport:
        """How reading goes. The caller may change the report."""

    def stop(self) -> None:
        """End reading soon; called from another thread."""

    def close(self) -> None:
        """Free what the source holds; the next `start` opens another one."""


class Outbox(Protocol):
    """Where a group's output goes."""

    def send(self, batch: Batch) -> None:
        """Send records on. May block: this is the back-pressure."""

    def when_written(self, action: Callable[[], None]) -> None:
        """Call ``action`` once everything sent so far is written to disk."""

    def drain(self) -> None:
        """Wait until everything sent is written to disk."""

    def abandon(self) -> None:
        """After an error: wait for what was sent, ignore its result, and drop the actions of `when_written`."""

    def set_aside_count(self, source: str) -> int:
        """Number of records of a source that were set aside, because they killed every worker that processed them."""
