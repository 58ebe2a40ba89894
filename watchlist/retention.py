"""Forgetting: tracks, vectors, pictures, lines and undelivered alerts go when their time is over, and it is proven."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from watchlist.lines import keep_lines
from watchlist.projection import folder_of
from watchlist.store import Store

DAY_S = 86_400.0
PICTURES = ("crop", "restored")
PLAIN = (".png", ".mp4")  # hold pixels alone
PIECE = 1 << 22
WITH_LINES = ("sightings.jsonl", "alerts.jsonl")


@dataclass(frozen=True)
class Policy:
    """Days that things are kept after a track has ended, None for ever: ``days`` by outcome, ``pictures`` of whatever outcome."""

    days: dict[str, float | None] = field(default_factory=dict)
    pictures: float | None = None


@dataclass(frozen=True)
class Proof:
    """What a purge deleted, and where it looked for traces afterwards. ``left`` names those it found: there should be none."""

    tracks: int
    pictures: int
    looked_in: list[str]
    left: list[str]


def purge(store: Store, out: Path, policy: Policy, now: float | None = None) -> Proof:
    """Delete what is older than the policy allows from database, pictures and lines; the report and the index over the templates,
    which may show it, go as a whole and are made anew when they are asked for. Tracks whose time of day is not known (of
    recordings) are kept: their folder is deleted as a whole.

    Raises OSError, sqlite3.Error; asked again, it goes on.
    """
    at = time.time() if now is None else now
    gone = [
        track for outcome, days in policy.days.items() if days is not None for track in store.ended(at - days * DAY_S, outcome)
    ]
    bare = [] if policy.pictures is None else store.ended(at - policy.pictures * DAY_S)
    pictures = 0
    for source, track in {*gone, *bare}:  # first the files: a purge that is cut off finds their names again
        pictures += sum(_unlink(out / f"crops/{source}/{track}-{kind}.png") for kind in PICTURES)
    store.overwrite_deleted()
    store.forget(gone)
    store.forget_pictures(bare)
    if gone or bare:
        _unlink(out / "report.html")
    if gone:
        names = {track for _, track in gone}
        for name in WITH_LINES:
            keep_lines(out / name, lambda line: _track_of(line) not in names)
        shutil.rmtree(folder_of(store), ignore_errors=True)
    store.checkpoint()
    looked_in, left = _traces(out, [track for _, track in gone])
    store.note("purge", tracks=len(gone), pictures=pictures, left=left)
    return Proof(len(gone), pictures, looked_in, left)


def _track_of(line: str) -> str | None:
    """The track a line is about; None for a line that was cut off."""
    try:
        return str(json.loads(line)["track"])
    except (ValueError, KeyError, TypeError):
        return None


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _traces(out: Path, names: list[str]) -> tuple[list[str], list[str]]:
    """Look for deleted tracks' names in every file of the folder: which were looked at, which hold one."""
    looked_in, left = [], []
    longest = max((len(name) for name in names), default=0)
    pattern = re.compile(b"|".join(re.escape(name.encode()) for name in names)) if names else None
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        looked_in.append(str(path.relative_to(out)))
        if pattern and (pattern.search(path.name.encode()) or (path.suffix not in PLAIN and _holds(path, pattern, longest))):
            left.append(looked_in[-1])
    return looked_in, left


def _holds(path: Path, pattern: re.Pattern[bytes], longest: int) -> bool:
    """Whether a file of any size matches, read in overlapping pieces."""
    tail = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            if pattern.search(tail + piece):
                return True
            tail = piece[-longest:]
    return False
