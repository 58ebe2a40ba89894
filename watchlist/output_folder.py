"""Resolve file names that a database holds. Only files below its own output folder are used."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PREVIEWS = "several-faces"  # folder beside a database for numbered pictures of photos that show several


MAX_SHOTS = 1000  # of a track whose files are looked for: a damaged row may tell any number


def shot_pictures(source: str, track: str, shots: int) -> list[str]:
    """Names, in the output folder, of the original crops of a track's shots but the best, whose crop the database names."""
    return [f"crops/{source}/{track}-shot{number}.png" for number in range(2, min(shots, MAX_SHOTS) + 1)]


class OutputFolder:
    """An output folder, and what of it a database may name. Remembers folders it has looked at, so that a million names are
    quickly judged: made anew for each piece of work."""

    def __init__(self, out: Path) -> None:
        self.root = out.resolve()
        self._parents: dict[tuple[str, ...], Path | None] = {(): self.root}

    def safe_path(self, name: object) -> Path | None:
        """The path of what a database names, whether or not it is there.

        Args:
            name: what the database holds: a relative path with forward slashes.

        Returns:
            None where the name leads out of the folder: absolute, with ``..``, not text, through a symbolic link; and for the
            folder itself.
        """
        parent = self._parent_of(name)
        if parent is None:
            return None
        path = parent / str(name).rpartition("/")[2]
        try:
            if path.is_symlink():
                path = path.resolve()
        except (OSError, RuntimeError, ValueError):  # circles of links, names no file system has
            return None
        return path if path.is_relative_to(self.root) and path != self.root else None

    def picture_path(self, name: object) -> Path | None:
        """As `safe_path`, for a picture that is there: a regular file with a picture's suffix."""
        path = self.safe_path(name)
        try:
            return path if path is not None and path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() else None
        except OSError:  # a name too long
            return None

    def delete_picture(self, name: object) -> bool:
        """Delete a picture that a database names (a link to one, not what it leads to); what lies outside or is no picture
        stays. Returns whether one was deleted. Raises OSError."""
        parent = self._parent_of(name)
        last = str(name).rpartition("/")[2]
        if parent is None or not last.lower().endswith(PICTURE_SUFFIXES):
            return False
        try:
            (parent / last).unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        return True

    def _parent_of(self, name: object) -> Path | None:
        """The real folder that holds what is named, if that is this one or below it."""
        if not isinstance(name, str) or not name or "\0" in name or "\\" in name or name.endswith("/"):
            return None
        parts = name.split("/")
        if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
            return None
        key = tuple(parts[:-1])
        if key not in self._parents:
            try:
                found = (self.root / PurePosixPath(*key)).resolve()
            except (OSError, RuntimeError, ValueError):
                found = Path("/")
            self._parents[key] = found if found == self.root or found.is_relative_to(self.root) else None
        return self._parents[key]


def delete_previews(out: Path, before: float | None = None) -> int:
    """Delete the numbered pictures that enrolment and search left in `PREVIEWS` (`watchlist.preview`); links are left alone.

    Args:
        out: the folder that holds the database.
        before: Unix time; only pictures written before it. None: all of them.

    Returns:
        How many were deleted.

    Raises:
        OSError: one cannot be deleted.
    """
    folder, count = out / PREVIEWS, 0
    if folder.is_symlink() or not folder.is_dir():
        return 0
    for path in folder.glob("*.jpg"):
        if not path.is_symlink() and path.is_file() and (before is None or path.stat().st_mtime < before):
            path.unlink(missing_ok=True)
            count += 1
    return count
