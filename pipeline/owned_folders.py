"""Temporary folders that end with their process: folders of killed processes are deleted when the next one is made."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

OWNER = "owner.lock"  # locked as long as the owner lives; the kernel unlocks it when the process ends
MIN_AGE_S = 60.0  # a younger folder may not be locked yet

_locks: dict[Path, int] = {}


def owned_folder(parent: Path, prefix: str) -> Path:
    """Make a private temporary folder, and delete those of killed processes of this user.

    The lock is a kernel lock (flock), so it also holds for processes of other containers that share the folder ``parent``.

    Args:
        parent: folder for temporary folders, such as ``/tmp``.
        prefix: beginning of the folder's name. Only folders with this prefix and an unlocked owner file are deleted.

    Returns:
        The new folder, with mode 0700.

    Raises:
        OSError: the folder cannot be made.
    """
    delete_abandoned_folders(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with suppress(OSError):  # a file system without locks: its folders are deleted by their owners only
        fcntl.flock(lock, fcntl.LOCK_EX)
    _locks[folder] = lock
    return folder


def delete_owned_folder(folder: Path) -> None:
    """Delete a folder made by `owned_folder`. Errors are ignored; the next start tries again."""
    shutil.rmtree(folder, ignore_errors=True)
    lock = _locks.pop(folder, None)
    if lock is not None:
        os.close(lock)


def delete_abandoned_folders(parent: Path, prefix: str) -> int:
    """Delete folders of this user whose owner has ended. Returns how many."""
    count = 0
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):
            status = folder.lstat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < MIN_AGE_S:
                continue
            lock = os.open(folder / OWNER, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)  # OSError: not made by `owned_folder`
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: the owner lives
                shutil.rmtree(folder)  # refuses a symbolic link
                count += 1
            finally:
                os.close(lock)
    return count


def _forget_locks() -> None:
    """In a forked child: close the locks, which must end with the parent."""
    for lock in _locks.values():
        with suppress(OSError):
            os.close(lock)
    _locks.clear()


os.register_at_fork(after_in_child=_forget_locks)
