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
PIXEL_SUFFIXES = (".png", ".mp4")  # files of pixels, which are not searched for names
CACHE_MB = 96
TRACK_FIELD = re.compile(r'"track": "([^"\\]*)"')
LINE_FILES = ("sightings.jsonl", "alerts.jsonl")


@dataclass(frozen=True)
class RetentionPolicy:
    """How long tracks of live cameras are kept.

    Attributes:
        days: days after the end of a track, by outcome; None: for ever.
        pictures: days after which a track's pictures are deleted, whatever its outcome; None: with the track.
    """

    days: dict[str, float | None] = field(default_factory=dict)
    pictures: float | None = None


@dataclass(frozen=True)
class PurgeReport:
    """What a purge deleted, and its search for deleted content afterwards.

    Attributes:
        tracks: number of deleted tracks.
        pictures: number of deleted pictures.
        looked_in: files that were searched.
        left: files that still hold content deleted by this or an earlier purge. It should be empty.
        compacted: False if another process kept the database file from being rewritten.
    """

    tracks: int
    pictures: int
    looked_in: list[str]
    left: list[str]
    compacted: bool = True


def purge(store: Store, out: Path, policy: RetentionPolicy, now: float | None = None) -> PurgeReport:
    """Delete tracks of live cameras that are older than the policy allows, and verify it.

    Embeddings, pictures, lines and alerts go with them. The report and the template index are deleted as a whole, because they
    may hold the tracks; they are made again on demand. Tracks of recordings are kept: delete their folder as a whole.

    Then the database file is rewritten without free space, and every file of the folder is searched for deleted names and
    embeddings. Hits are stored as salted sums, and the next purge searches for them again.

    Args:
        store: the database.
        out: its output folder.
        policy: how long tracks are kept.
        now: Unix time; None: the current time.

    Raises:
        OSError, sqlite3.Error, StoreError: a file cannot be changed. The call can be repeated.
    """
    store.require_writable()
    at = time.time() if now is None else now
    expired = [
        track
        for outcome, days in policy.days.items()
        if days is not None
        for track in store.ended_before(at - days * DAY_S, outcome)
    ]
    without_pictures = [] if policy.pictures is None else store.ended_before(at - policy.pictures * DAY_S)
    folder = OutputFolder(out)
    pictures, deleted, fragments = 0, set(expired), EmbeddingFragments()
    store.set_cache_mb(CACHE_MB)
    # Files go first, so that an interrupted purge finds their names in the database again.
    for source, track in dict.fromkeys([*expired, *without_pictures]):
        names, template = store.pictures_and_template(source, track)
        pictures += sum(map(folder.delete_picture, {f"crops/{source}/{track}-{kind}.png" for kind in PICTURE_KINDS}.union(names)))
        if (source, track) in deleted:
            fragments.add(template)
    if policy.pictures is not None:
        pictures += delete_previews(out, at - policy.pictures * DAY_S)
    scanner = LeftoverScanner((track.encode() for _, track in expired), fragments, set())
    if expired or without_pictures:
        (out / "report.html").unlink(missing_ok=True)
    if expired:
        delete_lines(out, deleted)
    store.delete_tracks(expired)
    store.clear_pictures(without_pictures)
    compacted = True
    if store.erasure_pending():  # also of an interrupted purge
        shutil.rmtree(index_folder(store), ignore_errors=True)
        compacted = store.finish_erasure()
    scanner.exclude(store.track_names() if expired else set())
    looked_in, left = _scan_folder(store, out, scanner)
    store.log_audit("purge", tracks=len(expired), pictures=pictures, left=left)
    return PurgeReport(len(expired), pictures, looked_in, left, compacted)


def delete_lines(out: Path, tracks: set[tuple[str, str]]) -> None:
    """Delete the lines of tracks, given by source and name, from the files with one line for each track or alert."""
    names = {track for _, track in tracks}

    def keep(line: str) -> bool:
        name = TRACK_FIELD.search(line)
        if name is not None and name[1] not in names:  # without parsing the line
            return True
        source, track = _track_of(line)
        return track not in names or (source is not None and (source, track) not in tracks)

    for name in LINE_FILES:
        filter_lines(out / name, keep)


def _track_of(line: str) -> tuple[str | None, str | None]:
    """Source and track of a line; None for an incomplete line."""
    try:
        row = json.loads(line)
        return row.get("source", row.get("camera")), str(row["track"])  # alerts have the key camera
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None, None


def _scan_folder(store: Store, out: Path, scanner: LeftoverScanner) -> tuple[list[str], list[str]]:
    """Search every file of the folder. Returns the files searched, and those that hold deleted content."""
    known: dict[str, set[tuple[int, int, int]]] = {}
    for file, *what in store.leftovers():
        known.setdefault(file, set()).add((what[0], what[1], what[2]))
    if not scanner and not known:
        return [], []
    salt, looked_in = secrets.randbits(32), []
    left: dict[str, set[tuple[int, int, int]]] = {}
    database = {store.path.name + end for end in ("", "-wal", "-shm")}
    for name in sorted(_files(out)):
        path, hits = out / name, scanner.scan_bytes(os.fsencode(name)) if scanner else set()
        if path.suffix not in PIXEL_SUFFIXES:
            looked_in.append(name)
            inside = scanner.scan_file(path) if scanner else set()
            hits |= inside - _shared(store, inside) if inside and name in database else inside
        earlier = find_salted(path, known[name]) if name in known else set()
        if hits or earlier:
            left[name] = earlier | {(len(content), salt, salted_sum(content, salt)) for content in hits}
    store.put_leftovers([(file, *content) for file, contents in left.items() for content in contents])
    return looked_in, list(left)


def _files(folder: Path, below: str = "") -> Iterator[str]:
    """The files of a folder; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), f"{below}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield f"{below}{entry.name}"


def _shared(store: Store, hits: set[bytes]) -> set[bytes]:
    """Hits that also belong to tracks that are kept, because their embeddings are equal."""
    return {fragment for fragment in hits if store.any_template_contains(fragment)}
