"""Read and verify the audit log."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from watchlist.audit_chain import START, row_hash
from watchlist.database import Database


@dataclass(frozen=True)
class AuditCheck:
    """Result of `AuditLog.verify_audit`.

    Attributes:
        rows: number of intact rows before the first fault, or of all rows.
        head: hash of the last of these rows, as hexadecimal digits.
        broken: id of the first faulty row; None if the chain is intact.
        fault: what is wrong with it; "" if the chain is intact.
    """

    rows: int
    head: str
    broken: int | None = None
    fault: str = ""


class AuditLog(Database):
    """Reads the table of the audit log, which `Database.log_audit` writes."""

    def audit_rows(self, limit: int = 100, before: int | None = None, what: str | None = None) -> list[dict[str, Any]]:
        """Read rows of the log, newest first.

        Args:
            limit: largest number of rows.
            before: only rows with a smaller id, for the next page; None: the newest rows.
            what: only actions of this kind; None: all.

        Returns:
            Dictionaries with ``id``, ``at`` (Unix time), ``user``, ``what`` and ``detail`` (decoded from JSON).
        """
        rows = self._db.execute(
            "SELECT id, at, user, what, detail FROM audit WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR what = ?2) "
            "ORDER BY id DESC LIMIT ?3",
            (before, what, limit),
        )
        return [dict(row) | {"detail": _decoded(row["detail"])} for row in rows]

    def verify_audit(self, head: str | None = None) -> AuditCheck:
        """Verify the hash chain from its first row to its last, on a snapshot of the database.

        Args:
            head: `AuditCheck.head` of an earlier check, which the chain must still contain; None: not checked.
        """
        before, number, seen = START, 0, head is None
        with self.snapshot():
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
            for row in self._db.execute("SELECT id, at, what, detail, user, hash FROM audit ORDER BY id"):
                if row["id"] != number + 1:
                    return AuditCheck(number, before.hex(), number + 1, "is missing")
                if not all(isinstance(value, (int, float, str, type(None))) for value in tuple(row)[:5]):
                    return AuditCheck(number, before.hex(), row["id"], "was changed: it holds what no row holds")
                expected = row_hash(before, tuple(row)[:5])
                if not isinstance(row["hash"], bytes) or not secrets.compare_digest(row["hash"], expected):
                    return AuditCheck(number, before.hex(), row["id"], "was changed, or one before it was removed or added")
                before, number = expected, number + 1
                seen = seen or secrets.compare_digest(before.hex().encode(), str(head).lower().encode())
        if (last[0] if last is not None else 0) != number:
            return AuditCheck(number, before.hex(), number + 1, "is missing, and all after it")
        if not seen:
            return AuditCheck(number, before.hex(), number, f"the chain does not hold {head} (any more): it was written anew")
        return AuditCheck(number, before.hex())


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
