"""Read a folder ``NAME/*.jpg`` or a CSV of people to enrol. Everything skipped is listed with a reason."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from models.pictures import SUFFIXES, PictureError, read_file
from watchlist.names import UNSAFE_CHARACTERS, display_path, is_date, normalised_name
from watchlist.photos import PhotoEntry, PhotoError

DETAIL_FIELDS = ("external_id", "purpose", "authority", "expires")
COLUMNS = ("name", "image", *DETAIL_FIELDS, "face")
MULTILINE_COLUMNS = ("purpose", "authority")  # cells that may have several lines
MAX_CSV_BYTES = 64_000_000
SEPARATORS = ",;\t"
# Folders and files that systems and file managers create. Names that begin with a dot are skipped as well.
IGNORED_NAMES = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "recycler", "lost+found", "system volume information", "trash"}
IGNORED_NAMES |= {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}


@dataclass
class PhotoList:
    """Photos to enrol.

    Attributes:
        entries: the photos.
        skipped: path and reason of each file or folder that was left out.
        warnings: one line for each possible mistake, such as two names that differ only in case.
    """

    entries: list[PhotoEntry] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_photo_list(path: Path) -> PhotoList:
    """Read the photos of a watchlist directory (``NAME/*.jpg`` or ``NAME.jpg``) or of a CSV.

    In a directory every file below ``NAME/`` is a photo of that person. Sub-folders and links are followed, each folder once.

    Raises:
        PhotoError: the path cannot be read, is neither a directory nor a CSV, or has no photos.
    """
    try:
        listing = _from_directory(path) if path.is_dir() else _from_csv(path)
    except (PictureError, OSError) as error:
        raise PhotoError(f"{display_path(path)}: {getattr(error, 'strerror', None) or error}") from None
    if not listing.entries:
        why = f" ({len(listing.skipped)} left out; {': '.join(listing.skipped[0])})" if listing.skipped else ""
        raise PhotoError(
            f"{display_path(path)}: no photos in it{why}; a watchlist is a directory NAME/*.jpg|png or a CSV with name,image"
        )
    return listing


def _from_directory(path: Path) -> PhotoList:
    """Read a directory.

    Every file in a person's folder becomes an entry, so that it is either used or refused with a reason. An empty folder becomes
    one entry, which is refused. Next to the folders only pictures are read.
    """
    listing = PhotoList()
    visited = {_key(path)}
    for place in _visible(path):
        try:
            name = normalised_name(display_path(place.name if place.is_dir() else place.stem))
        except ValueError as error:
            listing.skipped.append((display_path(place), f"the name {error}"))
            continue
        if place.is_dir():
            photos = list(_photos_in(place, visited, listing))
            folders = {photo.relative_to(place).parts[0] for photo in photos}
            if len(folders) > 1 and all((place / folder).is_dir() for folder in folders):
                why = f"{len(folders)} folders and no photo of its own: photos of one person belong into one folder NAME/"
                listing.skipped.append((display_path(place), why))
                continue
            listing.entries += [PhotoEntry(name, photo) for photo in photos or [place]]
        elif place.suffix.lower() in SUFFIXES:
            listing.entries.append(PhotoEntry(name, place))
        elif place.is_symlink() and not place.exists():
            listing.skipped.append((display_path(place), "a link to nothing"))
        else:
            listing.skipped.append((display_path(place), f"{place.suffix or 'a file without a suffix'} is no picture's suffix"))
    listing.warnings += _alike(listing.entries)
    return listing


def _photos_in(folder: Path, visited: set[tuple[int, int]], listing: PhotoList) -> Iterator[Path]:
    """All files below a folder. A folder that several links lead to is read once."""
    key = _key(folder)
    if key in visited:
        listing.skipped.append((display_path(folder), "a folder that was read already"))
        return
    visited.add(key)
    try:
        places = _visible(folder)
    except OSError as error:
        listing.skipped.append((display_path(folder), error.strerror or str(error)))
        return
    for place in places:
        if place.is_dir():
            yield from _photos_in(place, visited, listing)
        else:
            yield place


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in IGNORED_NAMES)


def _key(folder: Path) -> tuple[int, int]:
    state = folder.stat()
    return state.st_dev, state.st_ino


def _alike(entries: list[PhotoEntry]) -> list[str]:
    """Warnings about names that differ only in case or in the number of spaces."""
    names: dict[str, str] = {}
    out = []
    for name in dict.fromkeys(entry.name for entry in entries):
        other = names.setdefault(re.sub(r"\s+", " ", name).casefold(), name)
        if other != name:
            out.append(f"{other!r} and {name!r} differ only in case or spaces, and are two people")
    return out


def _from_csv(path: Path) -> PhotoList:
    lines = _rows(path)
    header = next(lines, (1, []))[1]
    columns = [re.sub(r"[\s-]+", "_", cell.strip().lower()) for cell in header]
    missing = [key for key in ("name", "image") if key not in columns]
    unknown = sorted(cell.strip() for cell, key in zip(header, columns, strict=True) if key not in COLUMNS)
    twice = sorted({key for key in columns if columns.count(key) > 1})
    if missing or unknown or twice:
        problem = f"lacks {', '.join(missing)}" if missing else f"has unknown {', '.join(unknown)}"
        problem = problem if missing or unknown else f"has {', '.join(twice)} twice"
        raise PhotoError(display_path(f"{path}: the header {problem}; allowed: {','.join(COLUMNS)}"))
    listing = PhotoList()
    first_values: dict[tuple[str, str], tuple[str, int]] = {}
    for number, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{display_path(path)}, line {number}"
        if len(cells) > len(columns):
            raise PhotoError(
                f"{where}: {len(cells)} cells, the header has {len(columns)}; put quotes about a cell with a separator in it"
            )
        row = {key: cell.strip() for key, cell in zip(columns, cells, strict=False) if cell.strip()}
        entry = _entry(row, path.parent, where)
        listing.entries.append(entry)
        who = entry.details.get("external_id") or entry.name
        for key, value in ({"name": entry.name} | entry.details).items():
            before, line = first_values.setdefault((who, key), (value, number))
            if before != value:
                listing.warnings.append(
                    display_path(
                        f"line {number}: {key} = {value!r} of {who!r} differs from {before!r} in line {line}; the last holds"
                    )
                )
                first_values[who, key] = value, number
    listing.warnings += _alike(listing.entries)
    return listing


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row of a CSV. The separator is detected."""
    content = read_file(path, MAX_CSV_BYTES)
    try:
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        raise PhotoError(f"{display_path(path)}: not a UTF-8 text file; save it as CSV UTF-8") from None
    skipped_lines = 0
    if (declaration := re.match(r"sep=([,;\t])\r?\n", text)) is not None:  # a line that Excel writes
        text, skipped_lines, separator = text[declaration.end() :], 1, declaration[1]
    else:
        first = text.partition("\n")[0]
        separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            yield reader.line_num + skipped_lines, cells
    except csv.Error as error:
        raise PhotoError(f"{display_path(path)}, line {reader.line_num + skipped_lines}: not a CSV ({error})") from None


def _entry(row: dict[str, str], folder: Path, where: str) -> PhotoEntry:
    """Check one row. Raises PhotoError, which names the line and the cell."""
    if not row.get("name") or not row.get("image"):
        raise PhotoError(f"{where}: name and image must not be empty")
    for key, value in row.items():
        rest = re.sub(r"[\r\n\t]", "", value) if key in MULTILINE_COLUMNS else value
        if UNSAFE_CHARACTERS.search(rest):
            raise PhotoError(f"{where}: {key} = {value!a} holds a line break or another control character")
    if row.get("expires") and not is_date(row["expires"]):
        raise PhotoError(f"{where}: expires = {row['expires']!r} must be a date like 2030-12-31")
    face = row.get("face")
    if face is not None and not (face.isascii() and face.isdigit() and 0 < int(face[:6]) < 1000):
        raise PhotoError(f"{where}: face = {face!r} must be a number from 1 on")
    details = {key: row[key] for key in DETAIL_FIELDS if row.get(key)}
    try:
        name = normalised_name(row["name"])
    except ValueError as error:
        raise PhotoError(f"{where}: the name {error}") from None
    return PhotoEntry(name, folder / row["image"], details, int(face) if face else None)
