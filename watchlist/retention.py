"""Forgetting: tracks, vectors, pictures, lines and undelivered alerts go when their time is over, and it is proven."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from watchlist.projection import Projection
from watchlist.store import Store

DAY_S = 86_400.0
PICTURES = ("crop", "restored")
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


def purge(
    store: Store, out: Path, policy: Policy, now: float | None = None, refresh: Callable[[], object] = lambda: None
) -> Proof:
    """Delete what is older than the policy allows from database, index, pictures and lines; ``refresh`` makes pages anew that
    show it. Tracks whose time of day is not known (of recordings) are kept: their folder is deleted as a whole.

    Raises OSError, sqlite3.Error.
    """
    at = time.time() if now is None else now
    gone: list[tuple[str, str]] = []
    store.overwrite_deleted()
    for outcome, days in policy.days.items():
        if days is not None:
            gone += store.forget(outcome, at - days * DAY_S)
    pictures = sum(_unlink(out / f"crops/{source}/{track}-{kind}.png") for source, track in gone for kind in PICTURES)
    if policy.pictures is not None:
        names = store.forget_pictures(at - policy.pictures * DAY_S)
        pictures += sum(_unlink(out / name) for name in names)
    if gone:
        names_gone = {track for _, track in gone}
        for name in WITH_LINES:
            _keep_lines(out / name, lambda line: json.loads(line)["track"] not in names_gone)
        Projection(store)
        refresh()
    store.checkpoint()
    looked_in, left = _traces(store, out, gone)
    store.note("purge", tracks=len(gone), pictures=pictures, left=left)
    return Proof(len(gone), pictures, looked_in, left)


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _keep_lines(path: Path, wanted: Callable[[str], bool]) -> None:
    if not path.exists():
        return
    part = path.with_suffix(".part")
    with path.open() as old, part.open("w") as new:
        new.writelines(line for line in old if wanted(line))
    part.replace(path)


def _traces(store: Store, out: Path, gone: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    """Look for the deleted tracks' names in every file of the folder: which were looked at, which hold one."""
    names = [track.encode() for _, track in gone]
    looked_in, left = [], []
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = str(path.relative_to(out))
        looked_in.append(name)
        if names and path.stem.removesuffix("-crop").removesuffix("-restored").encode() in names:
            left.append(name)
        elif path.suffix not in (".png", ".mp4") and names:
            content = path.read_bytes()
            if any(track in content for track in names):
                left.append(name)
    return looked_in, left
