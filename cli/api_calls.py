"""What the functions of the Python API (`farsight`) share: arguments, an opened database, and errors of one line."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import FarsightError, SettingsError, redact
from watchlist.api_types import Hit, Sighting

if TYPE_CHECKING:
    from watchlist.output_folder import OutputFolder
    from watchlist.photos import PhotoEntry
    from watchlist.search_back import TrackHit
    from watchlist.store import Store


def photo_entries(
    photos: str | Path | Sequence[str | Path], name: str | None, face: int | None, external_id: str | None
) -> list[PhotoEntry]:
    """Check the arguments of `farsight.Watchlist.enrol`, and list the photos to enrol.

    Args:
        photos: photo files of one person; or, without ``name``, a folder ``NAME/*.jpg`` or a CSV.
        name: the person's name.
        face: number of the face in a single photo, from 1.
        external_id: tells people of the same name apart.

    Raises:
        SettingsError: the arguments contradict each other, or one is invalid.
        PhotoError: the folder or CSV cannot be read.
    """
    from watchlist.names import UNSAFE_CHARACTERS, normalised_name
    from watchlist.photo_list import read_photo_list
    from watchlist.photos import PhotoEntry

    several = [photos] if isinstance(photos, str | Path) else list(photos)
    if not several:
        raise SettingsError("photos: is empty; name at least one photo")
    if face is not None and (face < 1 or name is None or len(several) != 1):
        raise SettingsError(f"face {face}: must be 1 or more, and goes with the name and the one photo of one person")
    if external_id is not None and UNSAFE_CHARACTERS.search(external_id):
        raise SettingsError("external_id: holds a control character; remove it")
    if name is None:
        if external_id is not None:
            raise SettingsError("external_id: goes with a name; a CSV has a column for it")
        if len(several) != 1:
            raise SettingsError("name: is missing; name the person of these photos, or give one folder or CSV")
        path = Path(several[0])
        if not path.exists():
            raise SettingsError(f"{path}: no such file or folder; name a folder NAME/*.jpg or a CSV")
        return read_photo_list(path).entries
    try:
        name = normalised_name(name)
    except ValueError as error:
        raise SettingsError(f"name {name!r}: {error}; give another") from None
    details = {"external_id": external_id.strip()} if external_id and external_id.strip() else {}
    return [PhotoEntry(name, Path(photo), details, face) for photo in several]


def time_text(value: str | datetime | None) -> str | None:
    """A time as the command line takes it; None stays None."""
    return value.isoformat() if isinstance(value, datetime) else value


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """Open an existing database, and close it at the end. Raises StoreError."""
    from cli.common import open_store

    store = open_store(path, must_exist=True)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors of photos, files and databases into a FarsightError of one line. Other exceptions pass unchanged."""
    from watchlist.photos import PhotoError
    from watchlist.sqlite_connection import StoreError

    try:
        yield
    except (PhotoError, StoreError) as error:
        raise FarsightError(redact(" ".join(str(error).split()))) from None
    except (OSError, sqlite3.Error) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise FarsightError(f"{where}{getattr(error, 'strerror', None) or error}; what was written is kept") from None


def iter_sightings(store: Store) -> Iterator[Sighting]:
    """The finished tracks of an open database by source and time, one at a time. Closes the database at the end.

    Raises:
        FarsightError: the database is damaged.
    """
    from watchlist.output_folder import OutputFolder

    folder = OutputFolder(store.path.parent)
    try:
        with one_line_errors():
            for row in store.iter_final():
                fields = {name: row[name] for name in Sighting.__dataclass_fields__ if name not in ("crop", "reasons")}
                yield Sighting(**fields, crop=folder.picture_path(row["crop"]), reasons=tuple(row["reasons"]))
    finally:
        store.close()


def hit_of(hit: TrackHit, folder: OutputFolder) -> Hit:
    """A track that a photo search returned, as an object of the Python API."""
    row = hit.row
    span = row["source"], row["track"], row["start_s"], row["end_s"]
    return Hit(*span, hit.outcome, hit.score, hit.threshold, hit.fpir, folder.picture_path(row["crop"]))
