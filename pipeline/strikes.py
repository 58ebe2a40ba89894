"""Work that kills the process that does it: counted in files that outlive the process, and set aside after the third time."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

MOST = 3  # deaths, after which work is not tried again
Aside = dict[str, dict[str, int]]
"""What was set aside: by the name of a record in its batch, how many of each source."""


class Strikes:
    """One worker's list. A file for each piece of work that was begun and has not ended, with a byte for each time it was begun.

    ``folder`` is on the machine's own disk: work that was lost with its machine is not to blame. Where it cannot be written,
    nothing is counted.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)

    def deaths(self, name: str) -> int:
        """How often this work has not ended. To be asked before it is begun."""
        try:
            return (self._folder / name).stat().st_size
        except OSError:
            return 0

    def begin(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(OSError), (self._folder / name).open("ab") as file:
                file.write(b".")

    def end(self, *names: str) -> None:
        """It ended, well or with an error."""
        for name in names:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink(missing_ok=True)

    def set_aside(self, name: str, records: dict[str, int]) -> None:
        """Keep what is not tried again; ``records`` by source is what is lost with it."""
        with contextlib.suppress(OSError):
            (self._folder / f"{name}.aside").write_text(json.dumps(records))

    def aside(self) -> Aside:
        """All that was set aside here, also before this process."""
        found: Aside = {}
        for path in self._folder.glob("*.aside"):
            with contextlib.suppress(OSError, ValueError):
                found[path.stem] = json.loads(path.read_text())
        return found
