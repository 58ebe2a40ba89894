"""Review a track, and update the files next to the database: its line in ``sightings.jsonl``, and the report."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from typing import Any

from watchlist.jsonl import locked_lines, map_lines, not_through_links
from watchlist.store import Store


def review_track(
    store: Store, source: str, track: str, verdict: str, note: str, persons: int = 1, last_review: int | None = None
) -> str | None:
    """Store a verdict with `Store.put_review`. If it changes the track's decision, update the files as well.

    The track's line in ``sightings.jsonl`` is changed. ``report.html`` is deleted, and made again on demand.

    Args:
        store: the run's database.
        source, track: the track.
        verdict, note, persons, last_review: see `Store.put_review`.

    Returns:
        The state of the track, see `Store.put_review`.

    Raises:
        StoreError: see `Store.put_review`.
        OSError: a file cannot be changed. The verdict is stored; the files still show the former decision.
    """
    before = store.decision_of(source, track)
    state = store.put_review(source, track, verdict, note, persons, last_review)
    after = store.decision_of(source, track)
    if after is not None and after != before:
        out = store.path.parent
        (out / "report.html").unlink(missing_ok=True)
        change_line(out / "sightings.jsonl", source, track, after | {"reasons": json.loads(after["reasons"])})
    return state


def change_line(path: Path, source: str, track: str, changes: dict[str, Any]) -> bool:
    """Change fields in the last line of a track in a JSONL file.

    The line is overwritten in place and padded with spaces, so that a large file is not rewritten. The file is rewritten only if
    the new line is longer, or if other hard links (such as those of a backup) share the file.

    Args:
        path: the file; it may be missing.
        source, track: the track.
        changes: new values by field.

    Returns:
        False if there is no such line.

    Raises:
        OSError: the file cannot be changed.
    """
    if not path.is_file() or not path.stat().st_size:
        return False
    wanted = f'"track": {json.dumps(track)}'.encode()
    with locked_lines(path), open(path, "r+b", buffering=0, opener=not_through_links) as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            at = text.rfind(wanted)
            while at >= 0:
                begin = text.rfind(b"\n", 0, at) + 1
                end = text.find(b"\n", at)
                end = len(text) if end < 0 else end
                line = _changed(text[begin:end], source, track, changes)
                if line is not None:
                    break
                at = text.rfind(wanted, 0, at)
            else:
                return False
        if len(line) <= end - begin and os.fstat(file.fileno()).st_nlink == 1:
            os.pwrite(file.fileno(), line.ljust(end - begin), begin)
            return True

    def changed(text: str) -> str:
        found = _changed(text.encode(errors="surrogateescape"), source, track, changes)
        return text if found is None else found.decode() + "\n"

    map_lines(path, changed)
    return True


def _changed(line: bytes, source: str, track: str, changes: dict[str, Any]) -> bytes | None:
    try:
        found = json.loads(line)
        if (found["source"], found["track"]) != (source, track):
            return None
        # Compact separators, so that the line fits in place. The track field keeps its space: searches look for it so written.
        return json.dumps(found | changes, separators=(",", ":")).replace('"track":"', '"track": "', 1).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
