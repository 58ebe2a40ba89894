"""Read untrusted still images: photos, crops and stored chips. Every image file is read by `read_picture`.

A malicious image file can attack its decoder. Therefore only the formats listed here are opened, only regular files are read, and
the memory that decoding needs is computed before it starts.
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
MAX_BYTES = 800_000_000  # largest memory of the file and its decoding together
MAX_DECODED_PIXELS = 40_000_000  # a larger JPEG is reduced to this while it is decoded
MAX_JPEG_PIXELS = 500_000_000  # largest JPEG before reduction; larger ones take too long to decode
MAX_SCANS = 200  # largest number of scans of a progressive JPEG; each is a pass over the whole image
# Peak memory of decoding and conversion to RGB (measured by tests/models/test_pictures.py).
BYTES_PER_PIXEL = {"JPEG": 14, "PNG": 14, "BMP": 14, "GIF": 14, "TIFF": 18, "HEIF": 18, "AVIF": 18, "WEBP": 20, "JPEG2000": 26}
MAX_PROFILE_BYTES = 4_000_000
FIRST_PAGES = 8  # pages of a TIFF that are searched for the main image

pillow_heif.register_heif_opener(thumbnails=False)
Image.MAX_IMAGE_PIXELS = None  # Pillow's own guard counts pixels; `_check_size` counts bytes


class PictureError(ValueError):
    """An image cannot be used. The message gives the reason and what to do."""


def read_picture(source: Path | bytes, formats: tuple[str, ...] = FORMATS) -> NDArray[np.uint8]:
    """Read an image as displayed, in RGB.

    EXIF orientation and ICC profile (to sRGB) are applied, transparent parts become white, and only the first image of a
    multi-image file is read. A JPEG above `MAX_DECODED_PIXELS` pixels is reduced to a half, a quarter or an eighth of its size.

    Args:
        source: path of the file, or its content.
        formats: allowed Pillow format names, a subset of `FORMATS`.

    Returns:
        RGB uint8 (H, W, 3).

    Raises:
        PictureError: the image cannot be used. No other exception is raised for any file content.
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
        except Exception as error:  # decoders may raise any exception for broken files
            raise PictureError(f"cannot be read ({' '.join(str(error).split()) or type(error).__name__})") from None


def read_file(path: Path, most: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file. Raises PictureError if it is not a regular file, is empty, or has more than ``most`` bytes."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # checked first, because opening a device may have side effects
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
    """Select the first page of a TIFF that is not a thumbnail."""
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
    """Request reduced decoding of a large JPEG, and reject images that need too much memory or time."""
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
    """Number of scans of a JPEG, and whether several are needed to decode the first pixel."""
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
    with contextlib.suppress(Exception):  # unreadable EXIF data is ignored
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
    """Convert 16-bit or 32-bit integers or floats to grey levels uint8 (H, W). Floats up to 1 are shares of white."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        most = float(values.max(initial=0.0))
        white = next((w for w in (1.0, 255.0, 65535.0) if most <= w), most)
    else:
        most = float(values.max(initial=0))
        white = next((w for w in (255.0, 4095.0, 65535.0) if most <= w), most)  # scanners store 12 bits in 16
    out = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), 256):  # in blocks: float64 of the whole image would take 8 bytes per pixel
        part = values[row : row + 256].astype(np.float32) * (255 / white) + 0.5
        out[row : row + 256] = part.clip(0, 255).astype(np.uint8)
    return out


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a picture from its ICC profile to sRGB; unchanged if the profile is missing or unusable."""
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
