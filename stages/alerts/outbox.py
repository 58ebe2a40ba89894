"""Decides which alerts a track raises, and stores them in the same transaction as the track.

`stages.alerts.retry_delivery` sends them.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.alerts.configured_sinks import build_sinks

if TYPE_CHECKING:
    from watchlist.store import Store

COOLDOWN_S = 60.0


class AlertOutbox:
    """Raises an alert for the first match of a track, and withdraws it if a later report of the track is somebody else.

    Args:
        store: the database of the tracks.
        out: output folder.
        settings: section ``alerts`` of the settings. ``cooldown_s``: for this many seconds the same person at the same camera
            raises no other alert; raising it gives fewer alerts of people who stay. ``webhook`` and ``mqtt``: sinks beside
            ``alerts.jsonl``.
    """

    def __init__(self, store: Store, out: Path, settings: dict[str, Any]) -> None:
        self._store = store
        self._cooldown_s = float(settings.get("cooldown_s", COOLDOWN_S))
        self._sinks = [sink.name for sink in build_sinks(out, settings)]

    def consider(self, row: dict[str, Any], captured: float | None) -> Counter[str]:
        """Store the alerts that a report of a track raises, for every sink.

        Call it inside the transaction that writes the track, so that both are stored or neither is. The same report again stores
        nothing.

        Args:
            row: the track, as in the table ``tracks``.
            captured: Unix time of the frame that led to this report, None for a report without one.

        Returns:
            The decisions, counted by name.
        """
        previous = self._store.last_alert(row["source"], track=row["track"])
        alerted = previous.identity if previous and previous.kind == "match" else None
        matched = row["identity"] if row["outcome"] == "match" else None
        if matched == alerted:
            return Counter()
        facts = {**row, "ended_at": captured}
        counts: Counter[str] = Counter()
        new = []
        if previous is not None and alerted is not None:
            new.append(_alert_of("withdrawn", facts, alerted, json.loads(previous.content)["name"]))
            # The cool-down of the withdrawn alert may have suppressed another track of the same person.
            suppressed = self._store.unalerted_match(row["source"], alerted, previous.at - self._cooldown_s)
            if suppressed is not None:
                new.append(_alert_of("match", suppressed, alerted, suppressed["name"]))
        if matched is not None:
            last = self._store.last_alert(row["source"], identity=matched)
            # A track whose score swings about the threshold raises one more alert at its end, not one a second.
            swinging = previous is not None and previous.identity == matched and not row["final"]
            if swinging or (last and 0 <= time.time() - last.at < self._cooldown_s):
                counts["alerts: in cool-down"] += 1
            else:
                new.append(_alert_of("match", facts, matched, row["name"]))
        if new and self._store.put_alerts(new, self._sinks):
            counts.update(f"alerts: {alert.kind}" for alert in new)
        return counts


def _alert_of(kind: str, facts: dict[str, Any], identity: int, name: str | None) -> Any:
    from watchlist.alert_tables import Alert

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
    return Alert(key, kind, now, facts["source"], facts["track"], identity, json.dumps(content))


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
