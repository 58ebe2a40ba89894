"""Reads photos as people have them: turned by EXIF, with alpha, grey, CMYK, HEIC."""

from __future__ import annotations

import csv
import datetime
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 150_000_000
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif"}
COLUMNS = ("name", "image", "external_id", "purpose", "authority", "expires")

pillow_heif.register_heif_opener()
Image.MAX_IMAGE_PIXELS = None  # checked below, with a message of our own


class PhotoError(ValueError):
    """A photo or list of photos that cannot be used; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A photo and whom it shows."""

    name: str
    photo: Path
    details: dict[str, str]


def read_photo(path: Path) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3), upright; transparent parts on white. Raises PhotoError with the reason."""
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise PhotoError(f"{picture.width}x{picture.height} is above {MOST_PIXELS // 1_000_000} million pixels")
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                upright = upright.convert("RGBA")
                ground = Image.new("RGBA", upright.size, (255, 255, 255, 255))
                upright = Image.alpha_composite(ground, upright)
            if upright.mode.startswith(("I", "F")):
                grey = np.asarray(upright, np.float64)
                upright = Image.fromarray((255 * grey / max(1.0, grey.max())).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))
    except PhotoError:
        raise
    except IsADirectoryError:
        raise PhotoError("no photo in this folder") from None
    except FileNotFoundError:
        raise PhotoError("no such file") from None
    except UnidentifiedImageError:
        raise PhotoError("not a picture in a known format") from None
    except Exception as error:  # decoders of broken files raise whatever they please
        raise PhotoError(f"cannot be read ({error})") from None


def list_people(path: Path) -> list[Entry]:
    """The photos of a watchlist directory (``NAME/*.jpg`` or ``NAME.jpg``) or a CSV (``name,image[,...]``). Raises PhotoError if
    there are none."""
    entries = _from_directory(path) if path.is_dir() else _from_csv(path)
    if not entries:
        raise PhotoError(f"{path}: no photos in it; a watchlist is a directory NAME/*.jpg|png or a CSV with name,image")
    return entries


def _from_directory(path: Path) -> list[Entry]:
    """Every file in a person's folder, so that each is either used or refused with a reason; a folder without any stands for
    itself. Beside the folders only pictures."""
    entries = []
    for place in sorted(p for p in path.iterdir() if not p.name.startswith(".")):
        if place.is_dir():
            photos = sorted(p for p in place.iterdir() if p.is_file() and not p.name.startswith("."))
            entries += [Entry(shown(place.name), photo, {}) for photo in photos or [place]]
        elif place.suffix.lower() in SUFFIXES:
            entries.append(Entry(shown(place.stem), place, {}))
    return entries


def _from_csv(path: Path) -> list[Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PhotoError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise PhotoError(f"{path}: not a UTF-8 text file") from None
    try:
        reader = csv.DictReader(text.splitlines())
        columns = list(reader.fieldnames or [])
        rows = list(reader)
    except csv.Error as error:
        raise PhotoError(f"{path}: not a CSV ({error})") from None
    missing = {"name", "image"} - set(columns)
    unknown = set(columns) - set(COLUMNS)
    if missing or unknown:
        problem = f"lacks {', '.join(sorted(missing))}" if missing else f"has unknown {', '.join(sorted(map(str, unknown)))}"
        raise PhotoError(f"{path}: the header {problem}; allowed: {','.join(COLUMNS)}")
    entries = []
    for number, row in enumerate(rows, 2):
        if not (row["name"] or "").strip() or not (row["image"] or "").strip():
            raise PhotoError(f"{path}, line {number}: name and image must not be empty")
        if row.get("expires") and not is_date(row["expires"]):
            raise PhotoError(f"{path}, line {number}: expires = {row['expires']!r} must be a date like 2030-12-31")
        details = {key: row[key] for key in COLUMNS[2:] if row.get(key)}
        entries.append(Entry(row["name"].strip(), path.parent / row["image"].strip(), details))
    return entries


def shown(path: str | Path) -> str:
    """A path as it can be stored and shown: bytes that are no UTF-8 become question marks."""
    return os.fsencode(path).decode("utf-8", "replace")


def is_date(text: str) -> bool:
    """Whether it is a date like 2030-12-31."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
