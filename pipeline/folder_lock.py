"""A lock on an output folder, so that one process writes into it. The lock names its owner and ends with the process."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline.errors import SettingsError
from pipeline.file_permissions import require_no_links

LOCK = ".farsight.lock"
_held: set[int] = set()


@contextmanager
def locked_folder(out: Path, command: str) -> Iterator[None]:
    """Lock a folder until the block ends. Readers of the folder are not affected.

    It is a kernel lock (flock), so the lock of a process that has died is free at once. The file names the owner.

    Args:
        out: an existing folder.
        command: shown to others who want the lock.

    Raises:
        SettingsError: another process has the lock, which the message names; or the folder holds a link.
    """
    require_no_links(out)
    path = out / LOCK
    file = _take(path, out)
    try:
        _sign(file, command)
        yield
    finally:
        with suppress(OSError):  # the folder is gone or not writable any more
            path.unlink()
        _close(file)


def lock_owner(out: Path) -> dict[str, Any] | None:
    """The owner in the lock file of ``out``, whether it still runs or not; None if there is none."""
    try:
        found = json.loads((out / LOCK).read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("pid"), int) else None


def _take(path: Path, out: Path) -> int:
    """The locked file's descriptor."""
    while True:
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SettingsError(f"--out {out}: cannot be written ({error.strerror or error}); name another folder") from None
        if not _lock(file, out):
            os.close(file)
            raise SettingsError(_taken(out))
        with suppress(OSError):
            if os.path.samestat(os.fstat(file), os.stat(path)):  # noqa: PTH116 - of the open file and of the name
                if os.fstat(file).st_nlink <= 1:
                    _held.add(file)
                    return file
                path.unlink(missing_ok=True)  # other hard links, such as those of a backup, are not written through
        os.close(file)  # not the lock any more: its owner or the line above has removed it


def _lock(file: int, out: Path) -> bool:
    """Try to lock; True on success. On a file system without locks, it is free if the owner's process has ended."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        owner = lock_owner(out)
        return owner is None or owner.get("host") != socket.gethostname() or not _alive(owner["pid"])
    return True


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sign(file: int, command: str) -> None:
    text = json.dumps({"pid": os.getpid(), "started": time.time(), "host": socket.gethostname(), "command": command})
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, text.encode(), 0)
    except OSError:  # a full disk: the lock holds nevertheless
        return


def _taken(out: Path) -> str:
    owner = lock_owner(out)
    who = "another farsight"
    if owner is not None:
        since = ""
        with suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
            since = f" since {datetime.fromtimestamp(owner['started']):%Y-%m-%d %H:%M:%S}"
        who = f"`{owner.get('command', 'farsight')}` (process {owner['pid']}{since})"
    return f"--out {out}: {who} writes into it; wait for it, stop it, or name another folder"


def _close(file: int) -> None:
    _held.discard(file)
    with suppress(OSError):
        os.close(file)


def _let_go() -> None:
    """In a forked child: release the lock, which must end with the parent."""
    for file in list(_held):
        _close(file)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
