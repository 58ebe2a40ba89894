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
from stages.patience import patiently
from stages.records import Sighting, Track
from watchlist.lines import append_whole, write_whole


class Record:
    """``out``: the output folder; ``database``: its database. Writing is repeatable: the same track again changes nothing.

    When the disk is full or not writable it raises OutputError, and what was written before is kept; with ``keep_trying`` it
    waits until it can write, and so do the stages before it.
    """

    def __init__(self, out: Path, database: Path, recognizer: str | None = None, keep_trying: bool = False) -> None:
        self._out, self._database, self._recognizer, self._keep_trying = out, database, recognizer, keep_trying
        self._outcomes: Counter[str] = Counter()
        self._trouble: Counter[str] = Counter()

    def open(self) -> None:
        from models import recognizer_card
        from watchlist.store import Store

        self._digest = recognizer_card(self._recognizer)["sha256"]
        self._store = Store(self._database)
        patiently(lambda: (self._out / "crops").mkdir(parents=True, exist_ok=True), *self._patience)
        self._lines = self._out / "sightings.jsonl"
        patiently(lambda: write_jsonl(self._lines, self._store.each_final()), *self._patience)

    def process(self, batch: Batch) -> Batch:
        rows = patiently(lambda: [self._row(sighting) for sighting in batch], *self._patience)
        fresh = [r for r in rows if r["final"] and not self._store.is_final(r["source"], r["track"])]
        patiently(lambda: self._store.put_tracks(rows), *self._patience)
        if fresh:
            patiently(lambda: self._append(fresh), *self._patience)
        self._outcomes.update(row["outcome"] for row in fresh)
        return batch

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._store.close()

    def counters(self) -> dict[str, int]:
        return {f"tracks: {outcome}": count for outcome, count in sorted(self._outcomes.items())} | dict(self._trouble)

    @property
    def _patience(self) -> tuple[bool, Path, Counter[str]]:
        return self._keep_trying, self._out, self._trouble

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
            "template": None if template.vector is None else template.vector.astype(np.float16).tobytes(),
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
        name = picture_name(track, kind)
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return name


def picture_name(track: Track, kind: str) -> str:
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
