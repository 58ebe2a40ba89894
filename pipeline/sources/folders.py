"""Finds the videos below a folder, and records what is left out and why."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import as_text

SUFFIXES = frozenset(
    ".3gp .asf .avi .dav .divx .flv .h264 .h265 .hevc .264 .265 .m2ts .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg .mts .mxf "
    ".ogv .rm .ts .vob .webm .wmv".split()
)
TRASH = frozenset("$recycle.bin recycler recycled @recycle #recycle @eadir lost+found trash".split()) | {
    "system volume information"
}
HIDDEN, TRASHED, OURS = "hidden files", "files in trash and system folders", "files of an earlier run's output"
OUTPUT_FOLDERS = frozenset("annotated crops several-faces stills farsight.db.templates".split())
OUTPUT = frozenset(
    "farsight.db farsight.db-wal farsight.db-shm sightings.jsonl alerts.jsonl report.html run.json status.json".split()
)

VideoCheck = Callable[[Path], str]
"""Opens a file and returns why it is no video; "" if it is one."""


@dataclass
class SkippedFiles:
    """Files that are not read.

    Attributes:
        files: (path, reason) pairs.
        counted: number of files of kinds that nobody expects to be read, such as hidden files.
    """

    files: list[tuple[str, str]] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def add(self, path: str | Path, reason: str) -> None:
        """Add a file."""
        self.files.append((as_text(str(path)), reason))

    def as_json(self) -> dict[str, Any]:
        """The files in the format of ``run.json``."""
        return {"files": [{"path": path, "reason": reason} for path, reason in self.files], "counted": dict(self.counted)}

    def __bool__(self) -> bool:
        return bool(self.files or self.counted)


def find_videos(folder: Path, look: VideoCheck, left_out: SkippedFiles, seen: set[tuple[int, int]]) -> list[Path]:
    """Find the videos below a folder. Links to folders are followed, and each folder is entered once.

    Args:
        folder: where to look.
        look: opens files without a usual suffix; those with one count as videos until they are read.
        left_out: gets what is not read. Annotated videos of earlier runs, hidden files and trash are only counted.
        seen: device and inode of the folders that were entered; is extended.

    Returns:
        Paths in alphabetical order.
    """
    found: list[Path] = []
    for place, folders, files in os.walk(folder, followlinks=True, onerror=lambda error: _unreadable(error, left_out)):
        here = Path(place)
        entered = _identity(here)
        if entered is None or entered in seen:
            folders.clear()
            if entered in seen and here != folder:
                left_out.add(here, "a link to a folder that is read already")
            continue
        seen.add(entered)
        output = "farsight.db" in files
        for name in sorted(folders):
            if kind := _passed_over(name) or (OURS if output and name in OUTPUT_FOLDERS else ""):
                folders.remove(name)
                left_out.counted[kind] += _files_below(here / name)
        folders.sort()
        for name in sorted(files):
            path = here / name
            if kind := _passed_over(name) or (OURS if output and name in OUTPUT else ""):
                left_out.counted[kind] += 1
            elif reason := _refusal(path, look):
                left_out.add(path, reason)
            else:
                found.append(path)
    return sorted(found)


def _refusal(path: Path, look: VideoCheck) -> str:
    """Why a file in a folder is not read; "" if it is read."""
    try:
        found = path.stat()
    except OSError as error:
        return "a link to nothing" if path.is_symlink() else f"cannot be read: {error.strerror or error}"
    if not stat.S_ISREG(found.st_mode):
        return "a pipe, a socket or a device"
    if not os.access(path, os.R_OK):
        return "cannot be read: Permission denied"
    if _drawn(path):
        return "an annotated video of an earlier run"
    if path.suffix.lower() in SUFFIXES:
        return ""
    return "an empty file" if not found.st_size else look(path)


def _unreadable(error: OSError, left_out: SkippedFiles) -> None:
    left_out.add(error.filename or "", f"a folder that cannot be read: {error.strerror or error}")


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _passed_over(name: str) -> str:
    """The kind of a file or folder that nobody expects to be read, by its name; "" for all others."""
    if name.lower() in TRASH or name.lower().startswith(".trash"):
        return TRASHED
    return HIDDEN if name.startswith(".") else ""


def _files_below(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _drawn(path: Path) -> bool:
    """Whether the file is an annotated video next to the database of a run."""
    return path.parent.name == "annotated" and (path.parent.parent / "farsight.db").is_file()
