"""Reads still images from outside: photos, crops and stored chips. Every image enters through `read_picture`.

An image file can attack its decoder. So only the formats listed here are opened, only regular files are read, and the memory a
decoder will need is computed before it starts.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000")
SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .webp .heic .heif .hif .avif .gif .tif .tiff .bmp .dib .jp2 .j2k .jpx .jpf".split()
)
MAX_FILE_BYTES = 256_000_000
MAX_BYTES = 800_000_000  # of memory that the file and its decoding may take at once
MAX_DECODED_PIXELS = 40_000_000  # a larger JPEG is reduced to this while it is decoded
MAX_JPEG_PIXELS = 500_000_000  # of a JPEG before that: more takes too long to decode
MAX_SCANS = 200  # of a progressive JPEG; each is another pass over the whole image
# Peak memory of decoding and conversion to RGB (measured by tests/models/test_pictures.py).
BYTES_PER_PIXEL = {"JPEG": 14, "PNG": 14, "BMP": 14, "GIF": 14, "TIFF": 18, "HEIF": 18, "AVIF": 18, "WEBP": 20, "JPEG2000": 26}
MAX_PROFILE_BYTES = 4_000_000
FIRST_PAGES = 8  # of a TIFF that are searched for the main image

pillow_heif.register_heif_opener(thumbnails=False)
Image.MAX_IMAGE_PIXELS = None  # Pillow's own guard counts pixels; `_check_size` counts bytes


class PictureError(ValueError):
    """An image that cannot be used; the text says why and what to do."""


def read_picture(source: Path | bytes, formats: tuple[str, ...] = FORMATS) -> NDArray[np.uint8]:
    """Read an image as it is meant to be seen.

    EXIF orientation and ICC profile (to sRGB) are applied, transparent parts become white, and of several images the first is
    read. A JPEG above `MAX_DECODED_PIXELS` pixels comes at a half, a quarter or an eighth of its size.

    Args:
        source: the file, or its content.
        formats: names of Pillow's formats, of `FORMATS`, that may be opened.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        PictureError: with the reason, whatever the file holds.
    """
    content = source if isinstance(source, bytes) else read_file(source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=formats) as picture:
                _main_page(picture)
                _check_size(picture, content)
                return _rgb(picture)
        except PictureError:
            raise
        except UnidentifiedImageError:
            raise PictureError(
                "not a picture in a known format: JPEG, PNG, WebP, HEIC, AVIF, GIF, TIFF, BMP, JPEG 2000"
            ) from None
        except MemoryError:
            raise PictureError("cannot be read (not enough memory)") from None
        except Exception as error:  # decoders of broken files raise whatever they please
            raise PictureError(f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})") from None


def read_file(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """The content of an ordinary file. Raises PictureError for what is no file, is empty, or has more than ``most`` bytes."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # asked first: opening a device may do something
            raise PictureError("a folder, not a file" if path.is_dir() else "a pipe, device or socket, not a file")
        with os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode):
                raise PictureError("a pipe, device or socket, not a file")
            if state.st_size > most:
                raise PictureError(f"a file of {state.st_size / 1e6:.0f} MB, at most {most / 1e6:.0f} MB are read")
            content = file.read(most + 1)
    except FileNotFoundError:
        raise PictureError("no such file") from None
    except (OSError, ValueError) as error:
        if isinstance(error, PictureError):
            raise
        raise PictureError(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not content:
        raise PictureError("an empty file")
    return content


def _main_page(picture: Image.Image) -> None:
    """Go to the first page of a TIFF that is no thumbnail of another."""
    if picture.format != "TIFF":
        return
    for page in range(FIRST_PAGES):
        try:
            picture.seek(page)
        except EOFError:
            break
        tags: Any = picture.tag_v2  # type: ignore[attr-defined]
        if not int(tags.get(254, 0)) & 1:
            return
    picture.seek(0)


def _check_size(picture: Image.Image, content: bytes) -> None:
    """Let a large JPEG be reduced while it is decoded, and refuse what would take too much memory or time."""
    kind = "JPEG" if picture.format == "MPO" else str(picture.format)
    width, height = picture.size
    needed = 0
    if kind == "JPEG":
        if width * height > MAX_JPEG_PIXELS:
            raise PictureError(_too_large(picture, MAX_JPEG_PIXELS))
        scans, progressive = _scans_of(content)
        if scans > MAX_SCANS:
            raise PictureError(f"a JPEG of {scans} scans, at most {MAX_SCANS} are read; save it anew")
        if progressive:  # all coefficients are kept until the last scan
            needed += 2 * len(picture.getbands()) * width * height
        factor = next((f for f in (1, 2, 4) if width * height <= MAX_DECODED_PIXELS * f * f), 8)
        if factor > 1:
            picture.draft(picture.mode, (max(1, width // factor), max(1, height // factor)))
    elif kind == "TIFF":
        tags: Any = picture.tag_v2  # type: ignore[attr-defined]
        needed += 8 * int(tags.get(322, 0)) * int(tags.get(323, 0))  # a tile may be larger than its picture
    a_pixel = BYTES_PER_PIXEL[kind]
    needed += a_pixel * picture.width * picture.height + len(content)
    if needed > MAX_BYTES:
        raise PictureError(_too_large(picture, MAX_BYTES // a_pixel))


def _too_large(picture: Image.Image, most: int) -> str:
    return (
        f"{picture.width}x{picture.height} pixels as {picture.format} would take too much memory; "
        f"at most {most // 1_000_000} million; save it smaller"
    )


def _scans_of(jpeg: bytes) -> tuple[int, bool]:
    """How many scans a JPEG has, and whether more than one is needed for its first pixel."""
    place, components = 2, 0
    while place + 10 < len(jpeg) and jpeg[place] == 0xFF:
        marker = jpeg[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components = jpeg[place + 9]
        place += 2 + int.from_bytes(jpeg[place + 2 : place + 4], "big")
    scans = jpeg.count(b"\xff\xda", place)
    in_first = jpeg[place + 4] if place + 4 < len(jpeg) else 0
    return scans, scans > 1 or in_first < components


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """RGB uint8 (H, W, 3) of an opened picture."""
    picture.load()
    image: Image.Image = picture
    with contextlib.suppress(Exception):  # EXIF that cannot be read turns nothing
        image = ImageOps.exif_transpose(picture)
    if image.mode.startswith(("I", "F")):
        return np.repeat(_grey(np.asarray(image))[..., None], 3, 2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = _in_srgb(image.convert("RGBA"), picture.info.get("icc_profile"))
        ground = Image.new("RGB", image.size, (255, 255, 255))
        ground.paste(image, mask=image.getchannel("A"))
        image = ground
    else:
        image = _in_srgb(image, picture.info.get("icc_profile"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _grey(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey levels uint8 (H, W) of 16-bit or 32-bit whole numbers, or of floats, of which those up to 1 are shares of white."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        most = float(values.max(initial=0.0))
        white = next((w for w in (1.0, 255.0, 65535.0) if most <= w), most)
    else:
        most = float(values.max(initial=0))
        white = next((w for w in (255.0, 4095.0, 65535.0) if most <= w), most)  # scanners keep 12 bits in 16
    out = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), 256):  # in parts: floats of all of it would be eight bytes a pixel
        part = values[row : row + 256].astype(np.float32) * (255 / white) + 0.5
        out[row : row + 256] = part.clip(0, 255).astype(np.uint8)
    return out


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with the colours that its ICC profile means; unchanged where there is none, or one that cannot be used."""
    if not profile or len(profile) > MAX_PROFILE_BYTES or image.mode not in ("RGB", "RGBA", "L", "CMYK"):
        return image
    try:
        own = ImageCms.getOpenProfile(io.BytesIO(profile))
        if own.profile.xcolor_space.strip() not in {"RGB", "RGBA"} and image.mode.startswith("RGB"):
            return image
        if "srgb" in ImageCms.getProfileDescription(own).lower():
            return image
        mode = image.mode if image.mode.startswith("RGB") else "RGB"
        found = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return image
    return image if found is None else found
