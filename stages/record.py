"""Writes what was seen: the database first, then thumbnails' names, then a line of JSON for each finished track."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.protocol import Batch
from stages.alerts.outbox import AlertOutbox
from stages.records import Sighting, Track
from stages.retry import with_retries
from watchlist.jsonl import append_whole, keep_lines, write_whole


class Record:
    """Writing is repeatable: the same track again changes nothing.

    Args:
        out: the output folder.
        database: its database.
        recognizer: whose templates they are, if not the project's own recogniser's.
        keep_trying: wait until disk and database can be used, and so make the stages before it wait. Without it the first failure
            raises OutputError. What was written before is kept either way.
        alerts: settings of `AlertOutbox`; with them each match is kept for delivery in the transaction that writes its track.
    """

    writes = True  # one of it for the whole run

    def __init__(
        self,
        out: Path,
        database: Path,
        recognizer: str | None = None,
        keep_trying: bool = False,
        alerts: dict[str, Any] | None = None,
    ) -> None:
        self._out, self._database, self._recognizer, self._keep_trying = out, database, recognizer, keep_trying
        self._alert_settings = alerts
        self._outcomes: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        self._trouble: Counter[str] = Counter()

    def open(self) -> None:
        from models import recognizer_card
        from watchlist.store import Store

        self._digest = recognizer_card(self._recognizer)["sha256"]
        self._store = with_retries(lambda: Store(self._database), *self._retry) if self._keep_trying else Store(self._database)
        self._alerts = None if self._alert_settings is None else AlertOutbox(self._store, self._out, self._alert_settings)
        with_retries(lambda: (self._out / "crops").mkdir(parents=True, exist_ok=True), *self._retry)
        self._lines = self._out / "sightings.jsonl"
        with_retries(lambda: write_jsonl(self._lines, self._store.iter_final()), *self._retry)

    def process(self, batch: Batch) -> Batch:
        rows = with_retries(lambda: [self._row(sighting) for sighting in batch], *self._retry)
        before, told = with_retries(lambda: self._write(rows, batch), *self._retry)
        self._told += told
        last = {_key(row): row for row in rows if row["final"]}  # a retried batch may hold the same report twice
        fresh = [row for key, row in last.items() if not before.get(key, (0, False))[1]]
        renewed = [row for key, row in last.items() if key in before and before[key][1] and before[key][0] < row["version"]]
        if renewed:  # finished early because nobody reported it for long
            gone = {_key(row) for row in renewed}
            with_retries(lambda: keep_lines(self._lines, lambda line: _key_of_line(line) not in gone), *self._retry)
        if fresh or renewed:
            with_retries(lambda: self._append([*fresh, *renewed]), *self._retry)
        self._outcomes.update(row["outcome"] for row in fresh)
        return batch

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._store.close()

    def counters(self) -> dict[str, int]:
        return {f"tracks: {outcome}": count for outcome, count in sorted(self._outcomes.items())} | self._told | self._trouble

    @property
    def _retry(self) -> tuple[bool, Path, Counter[str]]:
        return self._keep_trying, self._out, self._trouble

    def _write(self, rows: list[dict[str, Any]], batch: Batch) -> tuple[dict[tuple[str, str], tuple[int, bool]], Counter[str]]:
        """Write tracks and what people are to be told of them, all or nothing. Returns version and finality of the tracks that
        were there before, and what was told."""
        told: Counter[str] = Counter()
        with self._store.transaction():
            before = self._store.versions([_key(row) for row in rows])
            self._store.put_tracks(rows)
            if self._alerts is not None:
                for row, sighting in zip(rows, batch, strict=True):
                    if row["version"] >= before.get(_key(row), (0, False))[0]:  # what an older report says is no news
                        told += self._alerts.consider(row, sighting.captured)
        return before, told

    def _append(self, rows: list[dict[str, Any]]) -> None:
        """Add lines, or none of them."""
        lines = (json_line({**r, "reasons": json.loads(r["reasons"]), "best_box": json.loads(r["best_box"])}) for r in rows)
        append_whole(self._lines, "".join(lines))

    def _row(self, sighting: Sighting) -> dict[str, Any]:
        track, template = sighting.track, sighting.template
        best = track.shots[0] if track.shots else track.rejected
        matched = sighting.outcome == "match"
        crop = self._picture(track, "crop", best.crop) if best and best.crop else None
        restored = None
        if template.restored is not None:
            code = cv2.imencode(".png", np.ascontiguousarray(template.restored[..., ::-1]))[1].tobytes()
            restored = self._picture(track, "restored", code)
        return {
            "source": track.source,
            "track": track.track,
            "version": track.version,
            "final": int(track.final),
            "start_s": track.start_s,
            "end_s": track.end_s,
            "face_px": sighting.face_px,
            "shots": len(track.shots),
            "template": None if template.embedding is None else template.embedding.astype(np.float16).tobytes(),
            "recognizer": self._digest,
            "quality": template.quality,
            "best_pts_s": best.pts_s if best else None,
            "best_box": json.dumps([round(float(v), 1) for v in best.box] if best else None),
            "crop": crop,
            "restored": restored,
            "path": track.path.astype(np.float32).tobytes(),
            "outcome": sighting.outcome,
            "identity": sighting.identity if matched else None,
            "name": sighting.name if matched else None,
            "nearest": sighting.name,
            "score": sighting.score,
            "threshold": sighting.threshold,
            "fpir": sighting.fpir,
            "reasons": json.dumps(list(sighting.reasons)),
            "started_at": None if track.epoch is None else track.epoch + track.start_s,
            "ended_at": None if track.epoch is None else track.epoch + track.end_s,
        }

    def _picture(self, track: Track, kind: str, content: bytes) -> str:
        name = crop_name(track, kind)
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # so that no link, soft or hard, is written through
        path.write_bytes(content)
        return name


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["source"], row["track"]


def _key_of_line(line: str) -> tuple[str, str] | None:
    """Source and track of a line; None for one that was cut off."""
    try:
        return _key(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def crop_name(track: Track, kind: str) -> str:
    """Where in the output folder a track's ``crop`` or ``restored`` chip lies."""
    return f"crops/{track.source}/{track.track}-{kind}.png"


def json_line(row: dict[str, Any]) -> str:
    """One line of ``sightings.jsonl`` for a row of the tracks table."""

    def short(value: float | None, digits: int = 4) -> float | None:
        return None if value is None else round(value, digits)

    line = {
        "source": row["source"],
        "track": row["track"],
        "start_s": short(row["start_s"], 3),
        "end_s": short(row["end_s"], 3),
        "outcome": row["outcome"],
        "identity": row["identity"],
        "name": row["name"],
        "score": short(row["score"]),
        "threshold": short(row["threshold"]),
        "fpir": row["fpir"],
        "shots": row["shots"],
        "face_px": short(row["face_px"], 1),
        "best": {"pts_s": short(row["best_pts_s"], 3), "box": row["best_box"], "crop": row["crop"]},
        "reasons": row["reasons"],
    }
    return json.dumps(line) + "\n"


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write all lines anew, from the database, in one step."""
    write_whole(path, (json_line(row) for row in rows))
