"""Export an evidence bundle: a zip of selected tracks with their pictures, decisions and SHA-256 sums."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from watchlist.output_folder import OutputFolder, shot_pictures
from watchlist.store import Store

HIDDEN = {"template", "path", "template_id"}


class TargetError(ValueError):
    """The evidence bundle cannot be written to this path."""


def check_target(store: Store, path: Path, force: bool) -> None:
    """Check the path of an evidence bundle.

    Args:
        store: the database, which is never overwritten.
        path: the zip to write.
        force: allow overwriting another existing file.

    Raises:
        TargetError: the path may not be written.
    """
    for end in ("", "-wal", "-shm"):
        part = store.path.with_name(store.path.name + end)
        if path.resolve() == part.resolve() or (path.exists() and part.exists() and path.samefile(part)):
            raise TargetError(f"{path}: is the database itself; name another file")
    if path.is_dir():
        raise TargetError(f"{path}: is a folder; name a file in it")
    if path.exists() and not path.is_file():  # a device or pipe, which must not be replaced
        raise TargetError(f"{path}: is no file; name another one")
    if path.exists() and not force:
        raise TargetError(f"{path}: is there already; name another file, or replace it with --force")
    if not path.absolute().parent.is_dir():
        raise TargetError(f"{path}: no such folder; make it first")


def export_case(
    store: Store,
    out: Path,
    tracks: list[dict[str, Any]],
    path: Path,
    force: bool = False,
    about: dict[str, Any] | None = None,
) -> int:
    """Write an evidence bundle as a zip.

    It holds ``case.json``, the crops and restored chips of the tracks, the enrolled chips of the people they matched, and
    ``sha256sums.txt`` of all files. Pictures outside the output folder are left out.

    Args:
        store: the database.
        out: its output folder.
        tracks: rows of the tracks' table.
        path: the zip to write.
        force: overwrite an existing file.
        about: further information for ``case.json``.

    Returns:
        Number of files.

    Raises:
        OSError: the zip cannot be written.
        TargetError: see `check_target`.
    """
    check_target(store, path, force)
    folder, people, sums = OutputFolder(out), [], {}
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.absolute().parent)
    try:
        with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:

            def add(name: str, content: bytes) -> None:
                if name not in sums:
                    sums[name] = hashlib.sha256(content).hexdigest()
                    archive.writestr(name, content)

            named = {row[kind] for row in tracks for kind in ("crop", "restored") if row[kind]}
            named |= {name for row in tracks for name in shot_pictures(row["source"], row["track"], row["shots"])}
            for name in sorted(named):
                if (picture := folder.picture_path(name)) is not None:
                    add(name, picture.read_bytes())
            for identity in sorted({row["identity"] for row in tracks if row["identity"] is not None}):
                if (person := store.identity(identity)) is not None:
                    people.append(vars(person))
                for photo in store.enrolments(identity):
                    add(f"enrolled/{identity}-{photo.id}.png", photo.chip)
            shown = [{key: value for key, value in row.items() if key not in HIDDEN} for row in tracks]
            for row in shown:
                row["reviews"] = [
                    {"verdict": review.verdict, "user": review.user, "at": review.at, "note": review.note}
                    for review in store.reviews(row["source"], row["track"])
                ]
            made = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            case: dict[str, Any] = {"made": made, "database": store.path.name, "tracks": shown, "identities": people}
            if about is not None:
                case["case"] = about
            add("case.json", json.dumps(case, indent=2).encode())
            lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
            archive.writestr("sha256sums.txt", lines)
        check_target(store, path, force)  # again: a file may have been created meanwhile
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    # No track names: audit rows are kept after tracks are deleted.
    with path.open("rb") as written:
        store.log_audit("export", tracks=len(tracks), file=path.name, sha256=hashlib.file_digest(written, "sha256").hexdigest())
    return len(sums) + 1
