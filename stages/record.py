"""Writes sightings: crops of all shots, the database, and a line of ``sightings.jsonl`` for each finished track."""

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
from stages.storage_retry import with_retries
from watchlist.jsonl import append_text, filter_lines, write_lines
from watchlist.output_folder import shot_pictures


class Record:
    """Writes each report of a track. Writing is idempotent: the same report again changes nothing.

    Args:
        out: output folder.
        database: the database in it.
        recognizer: the recogniser of the templates; None for the project's own.
        keep_trying: retry until disk and database work, which slows the stages before this one down. False: the first failure
            raises OutputError. What was written is kept in both cases.
        alerts: section ``alerts`` of the settings. With it the alerts of a track are stored in the transaction that writes the
            track (`stages.alerts.outbox.AlertOutbox`).
    """

    writes = True  # one instance per run

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
        self._decisions: Counter[str] = Counter()
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
        before, decisions = with_retries(lambda: self._write(rows, batch), *self._retry)
        self._decisions += decisions
        last = {_key(row): row for row in rows if row["final"]}  # a retried batch may hold the same report twice
        new = [row for key, row in last.items() if not before.get(key, (0, False))[1]]
        reopened = [row for key, row in last.items() if key in before and before[key][1] and before[key][0] < row["version"]]
        if reopened:  # a track that was declared finished after a long silence
            replaced = {_key(row) for row in reopened}
            with_retries(lambda: filter_lines(self._lines, lambda line: _key_of_line(line) not in replaced), *self._retry)
        if new or reopened:
            with_retries(lambda: self._append([*new, *reopened]), *self._retry)
        self._outcomes.update(row["outcome"] for row in new)
        return batch

    def flush(self) -> Batch:
        return []

    def close(self) -> None:
        self._store.close()

    def counters(self) -> dict[str, int]:
        outcomes = {f"tracks: {outcome}": count for outcome, count in sorted(self._outcomes.items())}
        return outcomes | self._decisions | self._trouble

    @property
    def _retry(self) -> tuple[bool, Path, Counter[str]]:
        return self._keep_trying, self._out, self._trouble

    def _write(self, rows: list[dict[str, Any]], batch: Batch) -> tuple[dict[tuple[str, str], tuple[int, bool]], Counter[str]]:
        """Write tracks and their alerts in one transaction.

        Returns:
            Version and finality of the tracks that existed before, and the alert decisions, counted by name.
        """
        decisions: Counter[str] = Counter()
        with self._store.transaction():
            before = self._store.versions([_key(row) for row in rows])
            self._store.put_tracks(rows)
            if self._alerts is not None:
                for row, sighting in zip(rows, batch, strict=True):
                    if row["version"] >= before.get(_key(row), (0, False))[0]:  # an older report raises no alert
                        decisions += self._alerts.consider(row, sighting.captured)
        return before, decisions

    def _append(self, rows: list[dict[str, Any]]) -> None:
        """Append all lines or none, with the decisions as the database holds them: a reviewer may have rejected a match."""
        rows = [row | (self._store.decision_of(*_key(row)) or {}) for row in rows]
        lines = (json_line({**r, "reasons": json.loads(r["reasons"]), "best_box": json.loads(r["best_box"])}) for r in rows)
        append_text(self._lines, "".join(lines))

    def _row(self, sighting: Sighting) -> dict[str, Any]:
        track, template = sighting.track, sighting.template
        best = track.shots[0] if track.shots else track.rejected
        matched = sighting.outcome == "match"
        crop = self._write_image(track, "crop", best.crop) if best and best.crop else None
        for name, shot in zip(shot_pictures(track.source, track.track, len(track.shots)), track.shots[1:], strict=True):
            if shot.crop:
                self._write_file(name, shot.crop)
        restored = None
        if template.restored is not None:
            code = cv2.imencode(".png", np.ascontiguousarray(template.restored[..., ::-1]))[1].tobytes()
            restored = self._write_image(track, "restored", code)
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

    def _write_image(self, track: Track, kind: str, content: bytes) -> str:
        name = crop_name(track, kind)
        self._write_file(name, content)
        return name

    def _write_file(self, name: str, content: bytes) -> None:
        path = self._out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)  # so that no link, soft or hard, is written through
        path.write_bytes(content)


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["source"], row["track"]


def _key_of_line(line: str) -> tuple[str, str] | None:
    """Return source and track of a line; None for an incomplete line."""
    try:
        return _key(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def crop_name(track: Track, kind: str) -> str:
    """Return the path, in the output folder, of a track's ``crop`` or ``restored`` chip."""
    return f"crops/{track.source}/{track.track}-{kind}.png"


def json_line(row: dict[str, Any]) -> str:
    """Return the line of ``sightings.jsonl`` for a row of the table ``tracks``."""

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
    """Rewrite the whole file from rows of the database, atomically."""
    write_lines(path, (json_line(row) for row in rows))
