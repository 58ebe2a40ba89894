"""Read databases for the Python API (`farsight`): opening, one-line errors, finished tracks and search hits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.databases import open_store
from pipeline.errors import FarsightError, redact
from watchlist.api_types import Hit, Sighting
from watchlist.output_folder import OutputFolder
from watchlist.photos import PhotoError
from watchlist.search_back import TrackHit
from watchlist.sqlite_connection import StoreError
from watchlist.store import Store


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Context manager: errors of files, photos and databases become a FarsightError of one line. Other errors pass unchanged."""
    try:
        yield
    except (PhotoError, StoreError) as error:
        raise FarsightError(redact(" ".join(str(error).split()))) from None
    except (OSError, sqlite3.Error) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise FarsightError(f"{where}{getattr(error, 'strerror', None) or error}; what was written is kept") from None


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """Context manager: an existing database, closed at the end. Raises SettingsError if it is missing or damaged."""
    store = open_store(path, must_exist=True)
    try:
        yield store
    finally:
        store.close()


def api_hit(hit: TrackHit, folder: OutputFolder) -> Hit:
    """Convert a search hit to the API's type, with the crop as a path inside ``folder``."""
    row = hit.row
    span = row["start_s"], row["end_s"]
    crop = folder.picture_path(row["crop"])
    return Hit(row["source"], row["track"], *span, hit.outcome, hit.score, hit.threshold, hit.fpir, crop)


def final_sightings(store: Store) -> Iterator[Sighting]:
    """Yield the finished tracks of a database, by source and time, and close it at the end."""
    folder = OutputFolder(store.path.parent)
    try:
        with one_line_errors():
            for row in store.iter_final():
                fields = {name: row[name] for name in Sighting.__dataclass_fields__ if name not in ("crop", "reasons")}
                yield Sighting(**fields, crop=folder.picture_path(row["crop"]), reasons=tuple(row["reasons"]))
    finally:
        store.close()
