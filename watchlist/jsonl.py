"""Append to, filter and rewrite JSONL files that several processes write."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked_lines(path: Path) -> Iterator[None]:
    """Lock the folder of ``path`` for one writer. The lock ends with its process. A symbolic link as lock file is refused."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.parent / ".lines.lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def append_text(path: Path, text: str) -> None:
    """Append to a file. If that fails half-way, the file gets its former length again.

    A file with other hard links, such as those of a backup by ``cp -al``, is replaced by a copy first: the links keep their
    content. A symbolic link is refused.

    Raises:
        OSError: the file cannot be written.
    """
    with locked_lines(path):
        _separate_from_hard_links(path)
        with open(path, "ab", buffering=0, opener=not_through_links) as file:
            end = file.seek(0, 2)
            try:
                content = text.encode()
                while content:
                    content = content[file.write(content) :]
            except OSError:
                file.truncate(end)
                raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Replace a file by ``lines``, atomically. Raises OSError."""
    with locked_lines(path):
        _replace(path, lines)


def filter_lines(path: Path, keep: Callable[[str], bool]) -> None:
    """Delete the lines of a file, if it exists, for which ``keep`` returns False. Raises OSError."""
    if not path.exists():
        return
    with locked_lines(path), path.open(errors="surrogateescape") as file:
        _replace(path, (line for line in file if keep(line)))


def map_lines(path: Path, change: Callable[[str], str]) -> None:
    """Replace each line of a file, if it exists, by what ``change`` returns for it. Raises OSError."""
    if not path.exists():
        return
    with locked_lines(path), path.open(errors="surrogateescape") as file:
        _replace(path, map(change, file))


def replace_text(path: Path, text: str) -> None:
    """Replace a file by ``text``, atomically. Raises OSError."""
    _replace(path, (text,))


def not_through_links(path: str, flags: int) -> int:
    """An opener for files that are written: it raises OSError for a symbolic link."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _separate_from_hard_links(path: Path) -> None:
    """Replace a file that has other hard links by a copy of its own."""
    try:
        links = path.lstat().st_nlink if path.is_file() and not path.is_symlink() else 1
    except FileNotFoundError:
        return
    if links > 1:
        with path.open(errors="surrogateescape") as file:
            _replace(path, file)


def _replace(path: Path, lines: Iterable[str]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with part.open("x", errors="surrogateescape") as file:  # a new file, so no link is written through
            file.writelines(lines)
        part.replace(path)
    except BaseException:  # such as a full disk; the file holds names
        part.unlink(missing_ok=True)
        raise
