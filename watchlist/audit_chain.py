"""The audit log as a hash chain: each row holds the SHA-256 of itself and of the row before."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from typing import Any

START = hashlib.sha256(b"farsight audit").digest()  # takes the place of the hash before the first row


def row_hash(before: bytes, row: tuple[int, float, str, str, str | None]) -> bytes:
    """Hash a row.

    Args:
        before: hash of the row before, 32 bytes; `START` for the first row.
        row: id, Unix time, kind of action, detail (JSON), user.

    Returns:
        SHA-256 of both, 32 bytes.
    """
    return hashlib.sha256(before + json.dumps(row).encode()).digest()


def append(db: Any, at: float, what: str, detail: str, user: str | None) -> None:
    """Append a row to the chain. The caller must hold the write lock: two writers at once would fork the chain."""
    last = db.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    made = db.execute("INSERT INTO audit (at, what, detail, user) VALUES (?, ?, ?, ?)", (at, what, detail, user))
    number = int(made.lastrowid)
    before = START if last is None or last[0] is None else bytes(last[0])
    db.execute("UPDATE audit SET hash = ? WHERE id = ?", (row_hash(before, (number, at, what, detail, user)), number))


def chain_existing(db: Any) -> None:
    """Add hashes to rows that an earlier version wrote without them."""
    before = START
    for row in db.execute("SELECT id, at, what, detail, user FROM audit ORDER BY id").fetchall():
        before = row_hash(before, tuple(row))
        db.execute("UPDATE audit SET hash = ? WHERE id = ?", (before, row[0]))


def login_name() -> str:
    """Name of the user who runs this process, for the audit log. It comes from the operating system, not from the environment."""
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name} (command line)"
    except (OSError, KeyError):  # a container's user without a name
        return "command line"
