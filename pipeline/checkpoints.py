"""Checkpoints: the read position of each source, stored in the results database."""

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
    """The read position of a source.

    Attributes:
        url: its address without credentials.
        pts_s: PTS seconds up to which all results are written.
        done: whether it was read to its end.
        state: the state of the stages (`pack_state`); if ``done``, the report of the source (`pack_report`).
    """

    url: str
    pts_s: float
    done: bool
    state: bytes

    def report(self) -> SourceReport:
        """The report of a source that is ``done``. Raises SettingsError if it cannot be decoded."""
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

    def require(self, settings_digest: str) -> None:
        """Raises SettingsError if this version, or these settings, cannot continue from it."""
        if not self.done:
            unpack_state(self.state, settings_digest)
            return
        self.report()
        if json.loads(self.state).get("made_by", settings_digest) != settings_digest:
            raise _unusable("was made with other settings")

    def has_grown(self, url: str) -> bool:
        """Whether a file that was read to its end has been written to since and is not shorter (see `has_shrunk`)."""
        now = file_stamp(url)
        return self.done and now not in ("", self.report().file) and _size(now) >= _size(self.report().file)

    def has_shrunk(self, url: str) -> bool:
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


def pack_state(stages: dict[str, Any], settings_digest: str) -> bytes:
    """Pack the states of stages, by name, into bytes. ``settings_digest``: the `fingerprint` of the settings."""
    return pack({"version": VERSION, "made_by": settings_digest, "stages": stages})


def unpack_state(state: bytes, settings_digest: str) -> dict[str, Any]:
    """Unpack what `pack_state` made. Raises SettingsError for damaged bytes, another version or other settings."""
    try:
        held = unpack(state)
    except ValueError as error:
        raise _unusable(f"is of another version of Farsight, or damaged ({error})") from None
    if not isinstance(held, dict) or held.get("version") != VERSION:
        raise _unusable("is of another version of Farsight")
    if held.get("made_by") != settings_digest:
        raise _unusable("was made with other settings")
    stages = held.get("stages")
    if not isinstance(stages, dict):
        raise _unusable("holds no stages")
    return stages


def pack_report(report: SourceReport, settings_digest: str) -> bytes:
    """Pack the report of a source that is done into bytes."""
    return json.dumps({"made_by": settings_digest, **asdict(report)}).encode()


def _unusable(why: str) -> SettingsError:
    return SettingsError(f"--resume: the checkpoint {why}; name another folder, or go on with the version and settings it has")


def file_stamp(url: str) -> str:
    """Size and modification time of a file, to detect changes; "" if there is no such file."""
    try:
        found = Path(url).stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


def _size(stamp: str) -> int:
    return int(stamp.partition(" ")[0] or 0)


class Checkpoints:
    """The table of checkpoints in a database, one row per source."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute(SCHEMA)

    def save(self, source: str, url: str, pts_s: float, done: bool, state: bytes) -> None:
        """Write or replace the checkpoint of a source; for the arguments see `Checkpoint`."""
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
        """The address of each source that has a checkpoint, by source name."""
        return {str(row[0]): str(row[1]) for row in self._db.execute("SELECT source, url FROM checkpoints")}

    def update_url(self, source: str, url: str) -> None:
        """Change the address of a source."""
        self._db.execute("UPDATE checkpoints SET url = ? WHERE source = ?", (url, source))

    def forget(self, source: str) -> None:
        """Delete a checkpoint, so that the source is read from its start."""
        self._db.execute("DELETE FROM checkpoints WHERE source = ?", (source,))

    def close(self) -> None:
        self._db.close()
