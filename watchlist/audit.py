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
    """What `AuditLog.verify_audit` found: ``rows`` checked, ``head`` the last hash (hex), ``broken`` the first broken row's id
    and ``fault`` what is wrong with it ("": nothing)."""

    rows: int
    head: str
    broken: int | None = None
    fault: str = ""


class AuditLog(Database):
    """The audit log's table; `Database.log_audit` writes it."""

    def audit_rows(self, limit: int = 100, before: int | None = None, what: str | None = None) -> list[dict[str, Any]]:
        """Rows, the newest first: ``id``, ``at`` (Unix time), ``user``, ``what`` and ``detail``.

        Args:
            limit: how many at most.
            before: only rows with a smaller id: the next page.
            what: only rows of this kind.
        """
        rows = self._db.execute(
            "SELECT id, at, user, what, detail FROM audit WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR what = ?2) "
            "ORDER BY id DESC LIMIT ?3",
            (before, what, limit),
        )
        return [dict(row) | {"detail": _decoded(row["detail"])} for row in rows]

    def verify_audit(self, head: str | None = None) -> AuditCheck:
        """Check the chain from its first row to its last, in one moment of the database.

        Args:
            head: a hash (hex) that was the last one at an earlier check, and must still be in the chain.
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
