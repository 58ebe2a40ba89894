"""Review a track, and make the files beside the database fit: its line in ``sightings.jsonl``, and the report."""

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
    """As `Store.put_review`; a decision that changes by it changes in the files too. The report goes as a whole and is made anew
    when it is asked for.

    Raises:
        StoreError: see `Store.put_review`.
        OSError: a file cannot be changed; asked again, it is.
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
    """Put other values into a track's line of a file. The line is written in its place, filled up with spaces, so that a file of
    years is not written anew, unless the line became longer or a backup shares the file.

    Returns:
        False if there is no such line (yet).
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
        # Shorter than it was, so that it fits; the field is written as those who look for it expect it.
        return json.dumps(found | changes, separators=(",", ":")).replace('"track":"', '"track": "', 1).encode()
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
