"""A case to hand on: chosen tracks with their pictures, what was decided, and hashes that show that nothing was changed."""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from pathlib import Path
from typing import Any

from watchlist.store import Store

HIDDEN = {"template", "path", "template_id"}


def export_case(store: Store, out: Path, tracks: list[dict[str, Any]], path: Path) -> int:
    """Write a zip of those rows of the tracks' table: ``case.json``, their crops and restored chips, the enrolled chips of the
    people they matched, and ``sha256sums.txt`` over all of it. Returns the number of files. Raises OSError."""
    files: dict[str, bytes] = {}
    for row in tracks:
        for kind in ("crop", "restored"):
            name = row[kind]
            if name and (out / name).is_file():
                files[name] = (out / name).read_bytes()
    for identity in sorted({row["identity"] for row in tracks if row["identity"] is not None}):
        for photo in store.enrolments(identity):
            files[f"enrolled/{identity}-{photo.id}.png"] = photo.chip
    shown = [{key: value for key, value in row.items() if key not in HIDDEN} for row in tracks]
    people = [vars(person) for person in store.identities() if any(row["identity"] == person.id for row in tracks)]
    case = {"made": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "database": store.path.name, "tracks": shown, "identities": people}
    files["case.json"] = json.dumps(case, indent=2).encode()
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(files.items()))
    part = path.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted({**files, "sha256sums.txt": sums.encode()}.items()):
            archive.writestr(name, content)
    part.replace(path)
    # No names of tracks: the audit log outlives them.
    store.note("export", tracks=len(tracks), file=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    return len(files) + 1
