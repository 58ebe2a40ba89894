"""Check the photos that a program names for enrolment, and turn them into entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import SettingsError
from watchlist.names import UNSAFE_CHARACTERS, normalised_name
from watchlist.photo_list import read_photo_list
from watchlist.photos import PhotoEntry


def photo_entries(
    photos: str | Path | Sequence[str | Path], name: str | None, face: int | None, external_id: str | None
) -> list[PhotoEntry]:
    """Check the arguments of `farsight.Watchlist.enrol`.

    Args:
        photos: without ``name`` a folder ``NAME/*.jpg`` or a CSV; with ``name`` one or more photo files.
        name: the person in all photos; None: the folder or CSV names the people.
        face: number of the face to enrol, for a single photo; 1 is the largest.
        external_id: distinguishes people of the same name; needs ``name``.

    Returns:
        One entry per photo.

    Raises:
        SettingsError: the arguments contradict each other, or a value is unusable.
        PhotoError: the folder or CSV cannot be read.
    """
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
