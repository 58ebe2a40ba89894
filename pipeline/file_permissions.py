"""Makes output readable by the user only, because it contains personal data."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from pipeline.errors import SettingsError

UMASK = 0o077
# What a run writes into an output folder; other files in it belong to the user.
OUTPUT_NAMES = (
    *("farsight.db", "*.db", "*.db-wal", "*.db-shm", "*.db.templates", "sightings.jsonl*", "alerts.jsonl*", "report*.html"),
    *("run*.json", "crops", "annotated", "clip", ".lines.lock", ".farsight.lock", "*.part", "*.zip", "several-faces"),
    *("status.json", "stills"),
)
# Prefixes of file names that are written.
WRITTEN = (
    *("farsight.db", "sightings.jsonl", "alerts.jsonl", "report.", "run.", "crops", "annotated", "several-faces"),
    *(".lines.lock", ".farsight", "status.json", "stills"),
)


def set_private_umask() -> None:
    """Set the umask, so that this process and its children create files with mode 0600 and folders with 0700."""
    os.umask(UMASK)


def require_no_links(out: Path) -> None:
    """Raise SettingsError if one of our files in an output folder is a link.

    A folder that somebody else prepared could otherwise make us overwrite or extend any file of this user.
    """
    for folder in (out, out / "crops", out / "annotated", out / "stills"):
        try:
            with os.scandir(folder) as entries:
                links = [e for e in entries if e.is_symlink() and (folder != out or e.name.startswith(WRITTEN))]
        except OSError:  # missing, or not readable: writing reports it
            continue
        if links:
            raise SettingsError(f"{links[0].path}: is a link, and what is written into it would land elsewhere; remove it")


def make_private(out: Path) -> None:
    """Remove other users' permissions from an existing output folder: from our files in it, and from the folder
    itself if it holds nothing else. Files of another user are not touched."""
    with suppress(OSError):
        names = os.listdir(out)  # noqa: PTH208 - names are all that is needed
        ours = [name for name in names if any(fnmatch(name, pattern) for pattern in OUTPUT_NAMES)]
        for name in ours:
            _close(out / name)
        if len(ours) == len(names) and not out.stat().st_mode & stat.S_ISVTX:
            _close_one(out)


def make_database_private(path: Path) -> None:
    """Remove other users' permissions from a database, and from the files of SQLite and of the index next to it."""
    for end in ("", "-wal", "-shm", ".templates"):
        _close(path.with_name(path.name + end))


def _close(path: Path) -> None:
    """Remove other users' permissions from a file, or from a folder and its content. A private folder is left as it is."""
    with suppress(OSError):
        open_to_others = os.lstat(path).st_mode & UMASK
        if open_to_others and path.is_dir() and not path.is_symlink():
            for folder, _, files in os.walk(path):
                for name in files:
                    _close_one(Path(folder, name))
                _close_one(Path(folder))
        elif open_to_others:
            _close_one(path)


def _close_one(path: Path) -> None:
    with suppress(OSError):
        found = os.lstat(path)
        if found.st_mode & UMASK and not stat.S_ISLNK(found.st_mode):
            path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)
