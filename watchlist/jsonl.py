"""Append to, filter and rewrite JSONL files that several processes write."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time; the lock ends with the process that holds it. A link in the lock's place is not followed."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path.parent / ".lines.lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def append_text(path: Path, text: str) -> None:
    """Add ``text`` to a file; if that fails half-way, what came of it is cut off again. Raises OSError."""
    with _locked(path), open(path, "ab", buffering=0, opener=not_through_links) as file:
        end = file.seek(0, 2)
        try:
            content = text.encode()
            while content:
                content = content[file.write(content) :]
        except OSError:
            file.truncate(end)
            raise


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Put ``lines`` in place of a file in one step. Raises OSError."""
    with _locked(path):
        _replace(path, lines)


def filter_lines(path: Path, wanted: Callable[[str], bool]) -> None:
    """Take out of a file, if it is there, the lines that are not ``wanted``. Raises OSError."""
    if not path.exists():
        return
    with _locked(path), path.open(errors="surrogateescape") as file:
        _replace(path, (line for line in file if wanted(line)))


def map_lines(path: Path, changed: Callable[[str], str]) -> None:
    """Put in place of each line of a file, if it is there, what ``changed`` makes of it. Raises OSError."""
    if not path.exists():
        return
    with _locked(path), path.open(errors="surrogateescape") as file:
        _replace(path, map(changed, file))


def replace_text(path: Path, text: str) -> None:
    """Put ``text`` in place of a file in one step. Raises OSError."""
    _replace(path, (text,))


def not_through_links(path: str, flags: int) -> int:
    """Opens a file that is written to: one that somebody put there as a link is refused (OSError)."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _replace(path: Path, lines: Iterable[str]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    try:
        with part.open("x", errors="surrogateescape") as file:  # newly made, so through no link
            file.writelines(lines)
        part.replace(path)
    except BaseException:  # a full disk: names are in it
        part.unlink(missing_ok=True)
        raise
