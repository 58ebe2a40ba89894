"""The log of a long-running program: one JSON object per line, without credentials."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import structlog

from pipeline.engine import Status
from pipeline.errors import redact


def configure_log(write: Callable[[str], object] | None = None) -> None:
    """Configure structlog.

    Args:
        write: gets each line as text; None: lines of JSON go to standard error, where services collect them.
    """
    last: Any = structlog.dev.ConsoleRenderer(colors=False) if write else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            _without_credentials,
            last,
        ],
        logger_factory=_Printers(write) if write else structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class _Printers:
    """A logger factory whose loggers pass each line to a function."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def __call__(self, *args: object) -> _Printers:
        return self

    def msg(self, line: str) -> None:
        self._write(line)

    debug = info = warning = error = msg


def _without_credentials(logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    return {key: redact(value) if isinstance(value, str) else value for key, value in (first | dict(event)).items()}


class StatusLog:
    """Logs what changed from one status to the next: camera states, and the ``trouble:`` and ``fault:`` counters of stages."""

    def __init__(self) -> None:
        self._log = structlog.get_logger()
        self._states: dict[str, tuple[str, int]] = {}
        self._troubles: dict[str, int] = {}

    def update(self, status: Status) -> None:
        """Compare with the status before, and log the differences."""
        for source in status.sources:
            now = source.state, source.counts.get("reconnects", 0) + source.counts.get("readers replaced", 0)
            if self._states.get(source.name) != now:
                self._states[source.name] = now
                level = self._log.warning if source.reason else self._log.info
                level("camera", camera=source.name, state=source.state, why=source.reason, reconnects=now[1])
        gone = self._states.keys() - {source.name for source in status.sources}
        for name in gone:
            del self._states[name]
            self._log.info("camera", camera=name, state="removed")
        for group in status.groups:
            for name, count in group.counters.items():
                if name.startswith(("trouble: ", "fault: ")) and count > self._troubles.get(name, 0):
                    self._troubles[name] = count
                    self._log.error("trouble", group=group.name, what=name.partition(": ")[2], times=count)
