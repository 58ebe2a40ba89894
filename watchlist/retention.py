"""Delete tracks after their retention time, with embeddings, pictures, lines and alerts, and verify it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from watchlist.jsonl import filter_lines
from watchlist.leftover_scan import EmbeddingFragments, LeftoverScanner, find_salted, salted_sum
from watchlist.output_folder import OutputFolder, delete_previews
from watchlist.store import Store
from watchlist.template_index import index_folder

DAY_S = 86_400.0
PICTURE_KINDS = ("crop", "restored")
PIXEL_SUFFIXES = (".png", ".mp4")  # hold pixels alone
CACHE_MB = 96
TRACK_FIELD = re.compile(r'"track": "([^"\\]*)"')
WITH_LINES = ("sightings.jsonl", "alerts.jsonl")


@dataclass(frozen=True)
class RetentionPolicy:
    """Days that things are kept after a track has ended, None for ever: ``days`` by outcome, ``pictures`` of whatever outcome."""

    days: dict[str, float | None] = field(default_factory=dict)
    pictures: float | None = None


@dataclass(frozen=True)
class PurgeReport:
    """What a purge deleted, and where it looked for traces afterwards. ``left`` names the files in which it found some, now or
    at an earlier purge: there should be none. ``compacted`` is False where somebody who used the database was in the way of
    removing deleted content from its file."""

    tracks: int
    pictures: int
    looked_in: list[str]
    left: list[str]
    compacted: bool = True


def purge(store: Store, out: Path, policy: RetentionPolicy, now: float | None = None) -> PurgeReport:
    """Delete what is older than the policy allows from database, pictures and lines; the report and the index over the templates,
    which may show it, go as a whole and are made anew when they are asked for. Tracks whose time of day is not known (of
    recordings) are kept: their folder is deleted as a whole.

    Afterwards the database's file is written anew without free space, and every file of the folder is searched for the names and
    embeddings that were deleted. What is found is remembered as a salted sum, and looked for again by the next purge.

    Raises OSError, sqlite3.Error, StoreError; asked again, it goes on.
    """
    store.require_writable()
    at = time.time() if now is None else now
    gone = [
        track
        for outcome, days in policy.days.items()
        if days is not None
        for track in store.ended_before(at - days * DAY_S, outcome)
    ]
    bare = [] if policy.pictures is None else store.ended_before(at - policy.pictures * DAY_S)
    folder = OutputFolder(out)
    pictures, going, pieces = 0, set(gone), EmbeddingFragments()
    store.set_cache_mb(CACHE_MB)
    for source, track in dict.fromkeys([*gone, *bare]):  # first the files: a purge that is cut off finds their names again
        names, template = store.pictures_and_template(source, track)
        pictures += sum(map(folder.delete_picture, {f"crops/{source}/{track}-{kind}.png" for kind in PICTURE_KINDS}.union(names)))
        if (source, track) in going:
            pieces.add(template)
    if policy.pictures is not None:
        pictures += delete_previews(out, at - policy.pictures * DAY_S)
    finder = LeftoverScanner((track.encode() for _, track in gone), pieces, set())
    if gone or bare:
        (out / "report.html").unlink(missing_ok=True)
    if gone:
        delete_lines(out, going)
    store.delete_tracks(gone)
    store.clear_pictures(bare)
    compacted = True
    if store.erasure_pending():  # also of a purge that was cut off
        shutil.rmtree(index_folder(store), ignore_errors=True)
        compacted = store.finish_erasure()
    finder.exclude(store.track_names() if gone else set())
    looked_in, left = _look(store, out, finder)
    store.log_audit("purge", tracks=len(gone), pictures=pictures, left=left)
    return PurgeReport(len(gone), pictures, looked_in, left, compacted)


def delete_lines(out: Path, gone: set[tuple[str, str]]) -> None:
    """Take the lines of tracks, by source and name, out of the files that have one for each."""
    names = {track for _, track in gone}

    def stays(line: str) -> bool:
        quick = TRACK_FIELD.search(line)
        if quick is not None and quick[1] not in names:
            return True
        source, track = _track_of(line)
        return track not in names or (source is not None and (source, track) not in gone)

    for name in WITH_LINES:
        filter_lines(out / name, stays)


def _track_of(line: str) -> tuple[str | None, str | None]:
    """Source and track that a line is about; None for a line that was cut off."""
    try:
        found = json.loads(line)
        return found.get("source", found.get("camera")), str(found["track"])  # alerts say camera
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None


def _look(store: Store, out: Path, finder: LeftoverScanner) -> tuple[list[str], list[str]]:
    """Look for traces in every file of the folder: which were looked in, which hold some."""
    known: dict[str, set[tuple[int, int, int]]] = {}
    for file, *what in store.leftovers():
        known.setdefault(file, set()).add((what[0], what[1], what[2]))
    if not finder and not known:
        return [], []
    salt, looked_in = secrets.randbits(32), []
    left: dict[str, set[tuple[int, int, int]]] = {}
    database = {store.path.name + end for end in ("", "-wal", "-shm")}
    for name in sorted(_files(out)):
        path, found = out / name, finder.scan_bytes(os.fsencode(name)) if finder else set()
        if path.suffix not in PIXEL_SUFFIXES:
            looked_in.append(name)
            inside = finder.scan_file(path) if finder else set()
            found |= inside - _shared(store, inside) if inside and name in database else inside
        remains = find_salted(path, known[name]) if name in known else set()
        if found or remains:
            left[name] = remains | {(len(content), salt, salted_sum(content, salt)) for content in found}
    store.put_leftovers([(file, *what) for file, whats in left.items() for what in whats])
    return looked_in, list(left)


def _files(folder: Path, below: str = "") -> Iterator[str]:
    """The files of a folder; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{below}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield f"{below}{entry.name}"


def _shared(store: Store, found: set[bytes]) -> set[bytes]:
    """What of it belongs to tracks that are kept, whose embeddings are the same."""
    return {piece for piece in found if store.any_template_contains(piece)}
