"""Check rows read from the database. A damaged row raises one line that names it."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from watchlist.sqlite_connection import StoreError, damaged_error

OUTCOMES = ("match", "no_match", "not_assessable")


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _maybe(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int)


def _bytes(value: Any) -> bool:
    return isinstance(value, bytes)


CHECKS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("source", "track"), _text),
    **dict.fromkeys(("crop", "restored", "name", "nearest", "recognizer"), _maybe(_text)),
    **dict.fromkeys(("version", "final", "shots"), _whole),
    "identity": _maybe(_whole),
    **dict.fromkeys(("start_s", "end_s", "face_px", "quality", "fpir"), _number),
    **dict.fromkeys(("best_pts_s", "score", "threshold", "started_at", "ended_at"), _maybe(_number)),
    "outcome": lambda value: value in OUTCOMES,
    "path": lambda value: isinstance(value, bytes) and len(value) % 20 == 0,
    "template": _maybe(_bytes),
}


def checked_track(row: sqlite3.Row, path: Path) -> dict[str, Any]:
    """Check a row of the track table.

    Args:
        row: some or all columns.
        path: the database, for the error.

    Returns:
        The columns, with ``reasons`` and ``best_box`` decoded from JSON.

    Raises:
        StoreError: a column holds a value of a wrong type.
    """
    track = dict(row)
    for key, value in track.items():
        check = CHECKS.get(key)
        if check is not None and not check(value):
            raise _damaged_column(path, track, key)
    for key in ("reasons", "best_box"):
        if key in track:
            track[key] = _decoded_list(path, track, key)
    return track


def _decoded_list(path: Path, row: dict[str, Any], key: str) -> list[Any] | None:
    text = row[key]
    if not text and key == "best_box":
        return None
    if text == "[]" and key == "reasons":
        return []
    try:
        value = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise _damaged_column(path, row, key) from None
    if key == "best_box" and value is None:
        return None
    fits = isinstance(value, list) and (
        all(map(_text, value)) if key == "reasons" else len(value) == 4 and all(map(_number, value))
    )
    if not fits:
        raise _damaged_column(path, row, key)
    return list(value)


def _damaged_column(path: Path, row: dict[str, Any], key: str) -> StoreError:
    return damaged_error(path, f"{key} of the track {row.get('source')}/{row.get('track')}")


def checked_embedding(blob: Any, kind: type[np.float32] | type[np.float16], path: Path, whose: str) -> NDArray[np.float32]:
    """Decode a stored embedding.

    Args:
        blob: the column's value.
        kind: number format in the database.
        path: the database, for the error.
        whose: the track or photo, for the error.

    Returns:
        float32 (D,).

    Raises:
        StoreError: the value is no embedding, or has values that are not finite.
    """
    size = np.dtype(kind).itemsize
    if not isinstance(blob, bytes) or not blob or len(blob) % size:
        raise damaged_error(path, f"the embedding of {whose}")
    vector = np.frombuffer(blob, kind).astype(np.float32)
    if not np.isfinite(vector).all():
        raise damaged_error(path, f"the embedding of {whose} holds what is no number")
    return vector


def stack_embeddings(vectors: list[NDArray[np.float32]], path: Path, whose: str) -> NDArray[np.float32]:
    """Stack embeddings to one array (N, D). Raises StoreError if their lengths differ."""
    if len({len(vector) for vector in vectors}) > 1:
        raise damaged_error(path, f"{whose} have embeddings of different lengths")
    return np.stack(vectors)
