"""How far each source has been read, kept in the output database beside the results it vouches for."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.checkpoint_format import pack, unpack
from pipeline.errors import SettingsError
from pipeline.protocol import SourceReport

VERSION = 1  # of what a checkpoint of a source that is not done holds

SCHEMA = """
CREATE TABLE IF NOT EXISTS checkpoints (
    source TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    pts_s REAL NOT NULL,
    done INTEGER NOT NULL,
    state BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class Checkpoint:
    """How far a source has been read: ``state`` is what the stages held (`seal`), or how reading ended when it is ``done``
    (`seal_report`)."""

    url: str
    pts_s: float
    done: bool
    state: bytes

    def report(self) -> SourceReport:
        """How reading ended, when it is ``done``. Raises SettingsError where that cannot be read."""
        try:
            held = json.loads(self.state)
            held.pop("made_by", None)
            report = SourceReport(**held)
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _unusable(f"cannot be read ({error})") from None
        for key, fits in _FITS.items():
            if not fits(getattr(report, key)):
                raise _unusable(f"cannot be read ({key})")
        return report

    def require(self, made_by: str) -> None:
        """Raises SettingsError where this version, or these settings, cannot go on from it."""
        if not self.done:
            unseal(self.state, made_by)
            return
        self.report()
        if json.loads(self.state).get("made_by", made_by) != made_by:
            raise _unusable("was made with other settings")

    def outgrown(self, url: str) -> bool:
        """Whether a file that was read to its end has been written to since, as one that is recorded or copied is. One that has
        become shorter cannot show again what was seen: see `shortened`."""
        now = file_stamp(url)
        return self.done and now not in ("", self.report().file) and _size(now) >= _size(self.report().file)

    def shortened(self, url: str) -> bool:
        """Whether a file that was read to its end is shorter now."""
        now = file_stamp(url)
        return self.done and now != "" and _size(now) < _size(self.report().file)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_FITS: dict[str, Callable[[Any], bool]] = {  # what a report may hold
    **dict.fromkeys(("name", "url", "status", "reason", "state", "started_from"), _is_text),
    **dict.fromkeys(("duration_s", "delay_s", "started_at"), lambda value: value is None or _is_number(value)),
    "position_s": _is_number,
    "counts": lambda value: isinstance(value, dict) and all(type(count) is int for count in value.values()),
    "choices": lambda value: isinstance(value, dict) and all(map(_is_text, value.values())),
    "file": lambda value: _is_text(value) and re.fullmatch(r"(\d{1,20} -?\d{1,20})?", value, re.ASCII) is not None,
}


def seal(stages: dict[str, Any], made_by: str) -> bytes:
    """What stages hold, by their names, as bytes. ``made_by``: the `fingerprint` of the settings."""
    return pack({"version": VERSION, "made_by": made_by, "stages": stages})


def unseal(state: bytes, made_by: str) -> dict[str, Any]:
    """What `seal` was given. Raises SettingsError for bytes of another version or other settings, or that are none of its."""
    try:
        held = unpack(state)
    except ValueError as error:
        raise _unusable(f"is of another version of Farsight, or damaged ({error})") from None
    if not isinstance(held, dict) or held.get("version") != VERSION:
        raise _unusable("is of another version of Farsight")
    if held.get("made_by") != made_by:
        raise _unusable("was made with other settings")
    stages = held.get("stages")
    if not isinstance(stages, dict):
        raise _unusable("holds no stages")
    return stages


def seal_report(report: SourceReport, made_by: str) -> bytes:
    """How reading a source ended, as bytes."""
    return json.dumps({"made_by": made_by, **asdict(report)}).encode()


def _unusable(why: str) -> SettingsError:
    return SettingsError(f"--resume: the checkpoint {why}; name another folder, or go on with the version and settings it has")


def file_stamp(url: str) -> str:
    """Size and time of change of a file, which tell whether it was written to; nothing if there is no such file."""
    try:
        found = Path(url).stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _size(stamp: str) -> int:
    return int(stamp.partition(" ")[0] or 0)


class Checkpoints:
    """One row a source: everything up to ``pts_s`` is written, ``state`` is what the stages still held then."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(SCHEMA)

    def save(self, source: str, url: str, pts_s: float, done: bool, state: bytes) -> None:
        self._db.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?) ON CONFLICT (source) DO UPDATE SET "
            "url = excluded.url, pts_s = excluded.pts_s, done = excluded.done, state = excluded.state",
            (source, url, pts_s, int(done), state),
        )

    def load(self, source: str) -> Checkpoint | None:
        """The checkpoint of a source, or None if it has none."""
        row = self._db.execute("SELECT url, pts_s, done, state FROM checkpoints WHERE source = ?", (source,)).fetchone()
        if row is None:
            return None
        url, pts_s, done, state = row
        if not (isinstance(url, str) and _is_number(pts_s) and done in (0, 1) and isinstance(state, bytes)):
            raise _unusable(f"of {source} is damaged")
        return Checkpoint(url, float(pts_s), bool(done), state)

    def urls(self) -> dict[str, str]:
        """Address of each source that has a checkpoint."""
        return {str(row[0]): str(row[1]) for row in self._db.execute("SELECT source, url FROM checkpoints")}

    def moved(self, source: str, url: str) -> None:
        """Note that a source is at another address now."""
        self._db.execute("UPDATE checkpoints SET url = ? WHERE source = ?", (url, source))

    def forget(self, source: str) -> None:
        """Have a source read from its start."""
        self._db.execute("DELETE FROM checkpoints WHERE source = ?", (source,))

    def close(self) -> None:
        self._db.close()
