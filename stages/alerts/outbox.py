"""Decides what people are told about a track, and keeps it for delivery in the same transaction as the track itself."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.alerts.delivery import sinks_of

if TYPE_CHECKING:
    from watchlist.store import Store

COOLDOWN_S = 60.0


class AlertOutbox:
    """The first match of a track is an alert; a second one withdraws it if the track turns out to be somebody else.

    Args:
        store: the database the tracks are written to.
        out: the output folder.
        settings: ``cooldown_s`` is how long the same person at the same camera raises no other alert (other people and other
            cameras do); ``webhook`` and ``mqtt`` say who gets alerts besides ``alerts.jsonl``.
    """

    def __init__(self, store: Store, out: Path, settings: dict[str, Any]) -> None:
        self._store = store
        self._cooldown_s = float(settings.get("cooldown_s", COOLDOWN_S))
        self._receivers = [sink.name for sink in sinks_of(out, settings)]

    def consider(self, row: dict[str, Any], captured: float | None) -> Counter[str]:
        """Keep what is new about a track for every receiver.

        Called inside the transaction that writes the track, so neither is there without the other. The same report again adds
        nothing.

        Args:
            row: the track as the tracks' table has it.
            captured: Unix time of the frame that led to this report, None for a report without one.

        Returns:
            What was decided, counted by name.
        """
        told = self._store.last_alert(row["source"], track=row["track"])
        believed = told.identity if told and told.kind == "match" else None
        found = row["identity"] if row["outcome"] == "match" else None
        if found == believed:
            return Counter()
        facts = {**row, "ended_at": captured}
        counts: Counter[str] = Counter()
        fresh = []
        if told is not None and believed is not None:
            fresh.append(_make("withdrawn", facts, believed, json.loads(told.content)["name"]))
            # The withdrawn alert's cool-down may have kept another track of the same person quiet.
            quiet = self._store.unalerted_match(row["source"], believed, told.at - self._cooldown_s)
            if quiet is not None:
                fresh.append(_make("match", quiet, believed, quiet["name"]))
        if found is not None:
            before = self._store.last_alert(row["source"], identity=found)
            # A track at the edge of its threshold is told of once more at its end, not each second.
            wavering = told is not None and told.identity == found and not row["final"]
            if wavering or (before and 0 <= time.time() - before.at < self._cooldown_s):
                counts["alerts: in cool-down"] += 1
            else:
                fresh.append(_make("match", facts, found, row["name"]))
        if fresh and self._store.put_alerts(fresh, self._receivers):
            counts.update(f"alerts: {alert.kind}" for alert in fresh)
        return counts


def _make(kind: str, facts: dict[str, Any], identity: int, name: str | None) -> Any:
    from watchlist import alerts

    now = time.time()
    key = f"{facts['source']}/{facts['track']}/{facts['version']}/{identity}/{kind}"
    content = {
        "key": key,
        "kind": kind,
        "at": _iso(now),
        "captured": _iso(facts["ended_at"]),
        "camera": facts["source"],
        "track": facts["track"],
        "identity": identity,
        "name": name,
        "score": None if facts["score"] is None else round(facts["score"], 4),
        "threshold": None if facts["threshold"] is None else round(facts["threshold"], 4),
        "fpir": facts["fpir"],
        "face_px": round(facts["face_px"], 1),
        "shots": facts["shots"],
        "crop": facts["crop"],
    }
    return alerts.Alert(key, kind, now, facts["source"], facts["track"], identity, json.dumps(content))


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
