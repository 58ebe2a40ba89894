"""The console's settings that are stored in the database."""

from __future__ import annotations

import json
from typing import Any

from watchlist.database import Database


class Preferences(Database):
    """Settings by key, as JSON."""

    def preference(self, key: str, default: Any = None) -> Any:
        row = self._db.execute("SELECT value FROM preferences WHERE key = ?", (key,)).fetchone()
        try:
            return default if row is None else json.loads(row[0])
        except ValueError:
            return default

    def set_preferences(self, values: dict[str, Any]) -> None:
        """Store settings, and write them to the audit log."""
        with self.transaction():
            self._db.executemany(
                "INSERT INTO preferences VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(key, json.dumps(value)) for key, value in values.items()],
            )
            self.log_audit("settings", changed=values)
