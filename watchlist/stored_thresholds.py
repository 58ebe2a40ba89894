"""Thresholds fitted to the user's own footage, stored by recogniser."""

from __future__ import annotations

import json
import time
from typing import Any

from watchlist.database import Database
from watchlist.sqlite_connection import damaged_error
from watchlist.thresholds import Thresholds


class StoredThresholds(Database):
    """The table of calibrations: impostor scores of the user's own cameras, by recogniser."""

    def calibration(self, recognizer: str) -> list[dict[str, Any]] | None:
        """Impostor scores fitted to the user's own footage, in the format of a recogniser's card.

        Args:
            recognizer: digest of the recogniser.

        Returns:
            One dictionary for each face width bin; None if there are none and those of the card apply.

        Raises:
            StoreError: the stored scores are damaged.
        """
        row = self._db.execute("SELECT impostors FROM calibrations WHERE recognizer = ?", (recognizer,)).fetchone()
        if row is None:
            return None
        try:
            impostors = json.loads(row["impostors"])
            Thresholds(impostors).cosine(0.01, 100, 20.0)
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, RecursionError):
            raise damaged_error(
                self.path, "its calibration; `watchlist calibrate --reset` goes back to the recogniser's own"
            ) from None
        return list(impostors)

    def thresholds(self, card: dict[str, Any]) -> Thresholds:
        """Thresholds of a recogniser, given by its card: those fitted to the user's own footage, else those of the card."""
        return Thresholds(self.calibration(card["sha256"]) or card["impostors"])

    def put_calibration(self, recognizer: str, impostors: list[dict[str, Any]] | None, tracks: int = 0) -> None:
        """Store impostor scores, or delete them.

        Args:
            recognizer: digest of the recogniser.
            impostors: scores as `calibration` returns them; None: go back to those of the card.
            tracks: number of tracks that they were fitted to.
        """
        self._db.execute("DELETE FROM calibrations WHERE recognizer = ?", (recognizer,))
        if impostors is not None:
            self._db.execute(
                "INSERT INTO calibrations VALUES (?, ?, ?, ?)", (recognizer, time.time(), tracks, json.dumps(impostors))
            )
