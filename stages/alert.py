"""Tells people at once: an alert when a track matches, and its withdrawal when the track turns out to be somebody else."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.protocol import Batch
from stages.delivery import Delivery, sinks_of
from stages.patience import patiently
from stages.record import picture_name
from stages.records import Sighting


class Alert:
    """``alerts``: ``cooldown_s`` is how long the same person at the same camera raises no other alert (other people and other
    cameras do), ``webhook``, ``webhook_secret`` and ``mqtt`` say where alerts go besides ``alerts.jsonl``.

    Every alert is kept in the database before it is sent and until each receiver has it, so it arrives at least once, in
    order, whatever fails or restarts; its ``key`` stays the same when it is sent again. ``keep_trying`` as for Record.
    """

    def __init__(self, out: Path, database: Path, alerts: dict[str, Any] | None = None, keep_trying: bool = False) -> None:
        self._out, self._database, self._keep_trying = out, database, keep_trying
        settings = alerts or {}
        self._cooldown_s = float(settings.get("cooldown_s", 60.0))
        self._sinks = sinks_of(out, settings)
        self._counts: Counter[str] = Counter()

    def open(self) -> None:
        from watchlist.store import Store

        self._store = Store(self._database)
        self._deliveries = [Delivery(sink, self._database) for sink in self._sinks]

    def process(self, batch: Batch) -> Batch:
        for sighting in batch:
            patiently(lambda s=sighting: self._consider(s), self._keep_trying, self._out, self._counts)
        return batch

    def flush(self) -> Batch:
        """Give the receivers a last chance; what they do not take now waits in the database for the next start."""
        for delivery in self._deliveries:
            delivery.wait()
        return []

    def close(self) -> None:
        for delivery in self._deliveries:
            delivery.close()
        self._store.close()

    def counters(self) -> dict[str, int]:
        counts = dict(self._counts)
        for delivery in self._deliveries:
            counts |= delivery.counters()
        return counts

    def _consider(self, sighting: Sighting) -> None:
        """Find out what is new about a track, and keep the alerts that say so."""
        track = sighting.track
        told = self._store.last_alert(track.source, track=track.track)
        believed = told.identity if told and told.kind == "match" else None
        found = sighting.identity if sighting.outcome == "match" else None
        if found == believed:
            return
        fresh = []
        if believed is not None:
            assert told is not None
            fresh.append(_make("withdrawn", _facts(sighting), believed, json.loads(told.content)["name"]))
            # Whom that alert had kept quiet: somebody else, who is rightly believed to be that person.
            quiet = self._store.untold_match(track.source, believed, told.at - self._cooldown_s)
            if quiet is not None:
                fresh.append(_make("match", quiet, believed, quiet["name"]))
        if found is not None:
            before = self._store.last_alert(track.source, identity=found)
            # Withdrawn and believed again: a track at the edge of its threshold is told of once more at its end, not each second.
            wavering = told is not None and told.identity == found and not track.final
            if wavering or (before and 0 <= time.time() - before.at < self._cooldown_s):
                self._counts["alerts: in cool-down"] += 1
            else:
                fresh.append(_make("match", _facts(sighting), found, sighting.name))
        if fresh and self._store.put_alerts(fresh, [sink.name for sink in self._sinks]):
            for alert in fresh:
                self._counts[f"alerts: {alert.kind}"] += 1
            for delivery in self._deliveries:
                delivery.wake()


def _facts(sighting: Sighting) -> dict[str, Any]:
    """What an alert says of a track, under the names of the tracks' table."""
    track = sighting.track
    return {
        "source": track.source,
        "track": track.track,
        "version": track.version,
        "ended_at": sighting.captured,
        "score": sighting.score,
        "threshold": sighting.threshold,
        "fpir": sighting.fpir,
        "face_px": sighting.face_px,
        "shots": len(track.shots),
        "crop": picture_name(track, "crop") if track.shots else None,
    }


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
