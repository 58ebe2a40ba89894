"""The audit log as a hash chain: each row holds the SHA-256 of itself and of the row before."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
from typing import Any

START = hashlib.sha256(b"farsight audit").digest()  # stands before the first row


def row_hash(before: bytes, row: tuple[int, float, str, str, str | None]) -> bytes:
    """SHA-256 of the hash ``before`` and a row: id, time, what, detail, user."""
    return hashlib.sha256(before + json.dumps(row).encode()).digest()


def append(db: Any, at: float, what: str, detail: str, user: str | None) -> None:
    """Add a row at the end of the chain. The caller holds the write lock: two writers would make two ends."""
    last = db.execute("SELECT hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
    made = db.execute("INSERT INTO audit (at, what, detail, user) VALUES (?, ?, ?, ?)", (at, what, detail, user))
    number = int(made.lastrowid)
    before = START if last is None or last[0] is None else bytes(last[0])
    db.execute("UPDATE audit SET hash = ? WHERE id = ?", (row_hash(before, (number, at, what, detail, user)), number))


def chain_existing(db: Any) -> None:
    """Chain the rows that an earlier version has written without hashes."""
    before = START
    for row in db.execute("SELECT id, at, what, detail, user FROM audit ORDER BY id").fetchall():
        before = row_hash(before, tuple(row))
        db.execute("UPDATE audit SET hash = ? WHERE id = ?", (before, row[0]))


def login_name() -> str:
    """Who runs this process, for the audit log: the name of the system's user, whatever the environment says."""
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name} (command line)"
    except (OSError, KeyError):  # a container's user without a name
        return "command line"
