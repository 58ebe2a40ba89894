"""Counts how often a piece of work has killed its process, in files that outlive the process."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

MAX_CRASHES = 3  # crashes after which work is not retried
SetAside = dict[str, dict[str, int]]
"""Records that were given up after repeated crashes: the record's name in its batch, then the number of records per source."""


class CrashCounter:
    """The crashes of one worker.

    There is one file per piece of work that has begun and not ended. It holds one byte per attempt. Where the folder cannot be
    written, nothing is counted.

    Args:
        folder: on the machine's own disk, so that work that was lost with its machine does not count as a crash.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)

    def crashes(self, name: str) -> int:
        """Number of attempts at this work that did not end. Call it before `begin`."""
        try:
            return (self._folder / name).stat().st_size
        except OSError:
            return 0

    def begin(self, *names: str) -> None:
        """Note that these pieces of work begin."""
        for name in names:
            with contextlib.suppress(OSError), (self._folder / name).open("ab") as file:
                file.write(b".")

    def end(self, *names: str) -> None:
        """Note that these pieces of work have ended, with a result or an error."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def set_aside(self, name: str, records: dict[str, int]) -> None:
        """Give up a piece of work. ``records``: the number of records that are lost with it, per source."""
        with contextlib.suppress(OSError):
            (self._folder / f"{name}.aside").write_text(json.dumps(records))

    def all_set_aside(self) -> SetAside:
        """Everything that was given up in this folder, also by earlier processes."""
        found: SetAside = {}
        for path in self._folder.glob("*.aside"):
            with contextlib.suppress(OSError, ValueError):
                found[path.stem] = json.loads(path.read_text())
        return found
