"""Write ``status.json``, the current status of a run, for other programs."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pipeline.engine import Status
from pipeline.errors import redact

NAME = "status.json"
EVERY_S = 1.0


class StatusFile:
    """Writes the status of a run, at most once every `EVERY_S` seconds. Errors such as a full disk are ignored.

    Args:
        out: output folder.
        about: further keys of the file, such as ``command``.
    """

    def __init__(self, out: Path, **about: Any) -> None:
        self._path, self._about = out / NAME, about
        self._written, self._before = 0.0, dict[str, tuple[float, int]]()
        self._rates: dict[str, float] = {}
        self._last = Status()

    def update(self, status: Status) -> None:
        """Write the status, unless it was written less than `EVERY_S` seconds ago. The status callback of an engine."""
        now = time.monotonic()
        if now - self._written < EVERY_S:
            return
        self._written, self._last = now, status
        self._rates = {
            source.name: self._rate(source.name, source.counts.get("frames_searched", 0), now) for source in status.sources
        }
        self._write(status, running=True)

    def close(self) -> None:
        """Write that the run has ended."""
        self._write(self._last, running=False)

    def _rate(self, name: str, count: int, now: float) -> float:
        at, before = self._before.get(name, (now, count))
        self._before[name] = now, count
        return 0.0 if now <= at else max(0.0, (count - before) / (now - at))

    def _write(self, status: Status, running: bool) -> None:
        sources = [asdict(source) | {"per_s": round(self._rates.get(source.name, 0.0), 2)} for source in status.sources]
        content = {"at": time.time(), "pid": os.getpid(), "running": running, **self._about, "sources": sources}
        part = self._path.with_name(f"{NAME}.{os.getpid()}.part")
        with suppress(OSError, ValueError):
            part.unlink(missing_ok=True)  # so that no link is written through
            part.touch(0o600)
            part.write_text(redact(json.dumps(content, default=str)))
            part.replace(self._path)


def read_status(out: Path) -> dict[str, Any]:
    """Read the file. Returns an empty dictionary if it is missing or damaged; ``running`` is False if the process has died."""
    try:
        found = json.loads((out / NAME).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("sources"), list):
        return {}
    if found.get("running"):
        with suppress(PermissionError):
            try:
                os.kill(int(found["pid"]), 0)
            except (ProcessLookupError, ValueError, KeyError, TypeError, OverflowError):
                found["running"] = False
    return found
