"""Resolve file names stored in a database. Only files inside its own output folder are accepted."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
PREVIEWS = "several-faces"  # folder next to a database: numbered pictures of photos with several faces


MAX_SHOTS = 1000  # limit per track, because a damaged row may hold any number


def shot_pictures(source: str, track: str, shots: int) -> list[str]:
    """File names, relative to the output folder, of the original crops of a track's shots.

    The best shot is left out: the database names its crop.
    """
    return [f"crops/{source}/{track}-shot{number}.png" for number in range(2, min(shots, MAX_SHOTS) + 1)]


class OutputFolder:
    """Resolves names from a database to paths inside an output folder.

    Results for sub-folders are cached, so that a million names are checked quickly. Create a new instance for each operation.
    """

    def __init__(self, out: Path) -> None:
        self.root = out.resolve()
        self._parents: dict[tuple[str, ...], Path | None] = {(): self.root}

    def safe_path(self, name: object) -> Path | None:
        """Resolve a name from a database. The file need not exist.

        Args:
            name: value from the database; valid is a relative path with forward slashes.

        Returns:
            The path; None if the name is absolute, contains ``..``, is not text, leads out of the folder through a symbolic link,
            or is the folder itself.
        """
        parent = self._parent_of(name)
        if parent is None:
            return None
        path = parent / str(name).rpartition("/")[2]
        try:
            if path.is_symlink():
                path = path.resolve()
        except (OSError, RuntimeError, ValueError):  # circular links, or invalid names
            return None
        return path if path.is_relative_to(self.root) and path != self.root else None

    def picture_path(self, name: object) -> Path | None:
        """As `safe_path`, but None unless the path is an existing regular file with a picture suffix."""
        path = self.safe_path(name)
        try:
            return path if path is not None and path.suffix.lower() in PICTURE_SUFFIXES and path.is_file() else None
        except OSError:  # the name is too long
            return None

    def delete_picture(self, name: object) -> bool:
        """Delete a picture by its name in the database. Of a symbolic link, the link is deleted and not its target.

        Files outside the folder and files that are not pictures are kept.

        Returns:
            Whether a file was deleted.

        Raises:
            OSError: the file cannot be deleted.
        """
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
        """The resolved parent folder of a name; None if it is outside this folder."""
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
    """Delete the numbered pictures in `PREVIEWS`, which enrolment and search write (`watchlist.preview`). Links are kept.

    Args:
        out: the folder that holds the database.
        before: Unix time; delete only pictures written before it. None: delete all.

    Returns:
        Number of deleted pictures.

    Raises:
        OSError: a picture cannot be deleted.
    """
    folder, count = out / PREVIEWS, 0
    if folder.is_symlink() or not folder.is_dir():
        return 0
    for path in folder.glob("*.jpg"):
        if not path.is_symlink() and path.is_file() and (before is None or path.stat().st_mtime < before):
            path.unlink(missing_ok=True)
            count += 1
    return count
