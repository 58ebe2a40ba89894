"""Pictures from outside: right colours, right way up, bounded memory, and no program."""

import io
import os
import random
import resource
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from models import pictures
from models.pictures import FORMATS, PictureError, read_picture

KINDS = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}, "HEIF": {"quality": 95}, "AVIF": {"quality": 95}}
KINDS |= {"GIF": {}, "TIFF": {}, "BMP": {}, "JPEG2000": {}}


def encoded(picture: Image.Image, kind: str, **more: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **{**KINDS.get(kind, {}), **more})
    return buffer.getvalue()


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([across, down, 255 - across], 2).astype(np.uint8))


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_its_pixels(kind: str) -> None:
    found = read_picture(encoded(gradient(), kind))
    assert found.shape == (48, 64, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - np.asarray(gradient())).mean() < (8 if kind == "GIF" else 4)


@pytest.mark.parametrize("kind", ["EPS", "PDF", "PPM", "PCX", "TGA", "ICO", "SGI", "DDS", "IM", "MSP"])
def test_a_photo_in_a_format_that_is_not_named_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "face.jpg"
    path.write_bytes(encoded(gradient().convert("1" if kind == "MSP" else "RGB"), kind))
    with pytest.raises(PictureError, match="not a picture in a known format"):
        read_picture(path)


def test_a_photo_that_is_a_program_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\nsleep 60\n")
    (tmp_path / "gs").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "face.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n%%EndComments\n{} loop\n")
    with pytest.raises(PictureError, match="not a picture"):
        read_picture(tmp_path / "face.jpg")
    assert not (tmp_path / "started").exists()


def test_pipes_devices_sockets_and_folders_are_no_photos(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "link.jpg").symlink_to("/dev/zero")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.jpg").touch()
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s.jpg"))
    began = time.monotonic()
    for name, why in {
        "pipe.jpg": "a pipe, device or socket",
        "link.jpg": "a pipe, device or socket",
        "loop.jpg": "cannot be read",
        "s.jpg": "a pipe, device or socket",
        "folder.jpg": "a folder",
        "empty.jpg": "an empty file",
        "none.jpg": "no such file",
        "a\0b.jpg": "cannot be read",
        "x" * 5000: "cannot be read",
    }.items():
        with pytest.raises(PictureError, match=why):
            read_picture(tmp_path / name)
    server.close()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_are_obeyed(kind: str, orientation: int) -> None:
    # Where each way of storing puts the picture's upper left corner: turn it back the other way.
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose
    stored = gradient() if orientation == 1 else gradient().transpose(Image.Transpose(back[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = read_picture(encoded(stored, kind, exif=exif))
    assert found.shape == (48, 64, 3) and np.abs(found.astype(int) - np.asarray(gradient())).mean() < 5


def test_exif_that_cannot_be_read_costs_nothing() -> None:
    assert read_picture(encoded(gradient(), "JPEG", exif=b"Exif\0\0MM\0\x2a\xff\xff\xff\xff")).shape == (48, 64, 3)


def test_transparent_pixels_of_a_photo_become_white() -> None:
    for picture in (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), Image.new("LA", (8, 8), (0, 0))):
        assert (read_picture(encoded(picture, "PNG")) == 255).all()
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((3, 2), 1)
    for kind in ("PNG", "GIF"):
        found = read_picture(encoded(palette, kind, transparency=0))
        assert found[0, 0].tolist() == [255, 255, 255] and found[2, 3].tolist() == [255, 0, 0]
    assert (read_picture(encoded(Image.new("RGB", (8, 8)), "PNG", transparency=(0, 0, 0))) == 255).all()


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (np.uint16([[0, 32768, 65535]]), "PNG", [0, 128, 255]),
        (np.uint16([[0, 32768, 60000]]), "TIFF", [0, 128, 233]),  # not stretched to white
        (np.uint16([[0, 2048, 4095]]), "TIFF", [0, 128, 255]),  # a scanner's 12 bits
        (np.uint16([[0, 128, 255]]), "PNG", [0, 128, 255]),  # 8 bits kept in 16
        (np.float32([[0, 0.5, 1.0]]), "TIFF", [0, 128, 255]),
        (np.float32([[0, np.nan, 255.0]]), "TIFF", [0, 0, 255]),
        (np.int32([[-5, 128, 255]]), "TIFF", [0, 128, 255]),
    ],
)
def test_more_than_8_bits(values: np.ndarray, kind: str, expected: list[int]) -> None:
    found = read_picture(encoded(Image.fromarray(values), kind))
    assert found.shape == (1, 3, 3) and np.abs(found[0, :, 1].astype(int) - expected).max() <= 1


def test_the_colours_that_a_profile_means() -> None:
    """A profile whose primaries are swapped: what is stored as green means red."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.find(b"rXYZ"), profile.find(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = profile[green : green + 4], profile[red : red + 4]
    profile = bytes(profile).replace(b"s\0R\0G\0B", b"t\0R\0G\0B").replace(b"sRGB", b"tRGB")
    for kind in ("PNG", "JPEG", "TIFF"):
        found = read_picture(encoded(Image.new("RGB", (16, 16), (0, 200, 0)), kind, icc_profile=profile))
        assert found[8, 8, 0] > 150 and found[8, 8, 1] < 80, kind
    assert read_picture(encoded(gradient(), "PNG", icc_profile=b"nonsense")).shape == (48, 64, 3)


def test_cmyk_and_the_first_of_several() -> None:
    found = read_picture(encoded(Image.new("RGB", (16, 16), (250, 0, 0)).convert("CMYK"), "JPEG"))
    assert found[8, 8, 0] > 220 and found[8, 8, 1] < 40
    blue = Image.new("RGB", (16, 16), (0, 0, 250))
    for kind in ("GIF", "WEBP", "TIFF", "HEIF", "AVIF", "PNG"):
        found = read_picture(encoded(Image.new("RGB", (16, 16), (250, 0, 0)), kind, save_all=True, append_images=[blue]))
        assert found[8, 8, 0] > 220 and found[8, 8, 2] < 40, kind


def test_a_thumbnail_before_the_picture_is_passed_over() -> None:
    thumbnail, whole = Image.new("RGB", (4, 3)), gradient()
    thumbnail.encoderinfo = {"tiffinfo": {254: 1}}
    whole.encoderinfo = {"tiffinfo": {254: 0}}
    buffer = io.BytesIO()
    thumbnail.save(buffer, "TIFF", save_all=True, append_images=[whole], tiffinfo={254: 1})
    pages = Image.open(io.BytesIO(buffer.getvalue()))
    if pages.tag_v2.get(254) != 1:  # pragma: no cover
        pytest.skip("Pillow writes no such tag")
    pages.seek(1)
    wanted = (48, 64, 3) if not pages.tag_v2.get(254, 0) & 1 else (3, 4, 3)
    assert read_picture(buffer.getvalue()).shape == wanted


def grey16(width: int, height: int, rows: int) -> bytes:
    """A PNG of nothing, which packs a thousand to one, of which only the first rows are there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    packed = zlib.compress(bytes((1 + 2 * width) * rows), 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("JPEG", "PNG")])
def test_what_would_take_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(pictures, "MAX_BYTES", 30_000)
    with pytest.raises(PictureError, match=f"64x48 pixels as {kind} would take too much memory; at most"):
        read_picture(encoded(gradient(), kind))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PictureError, match="15000x10000 pixels as PNG would take too much memory; at most 57 million; save it"):
        read_picture(grey16(15_000, 10_000, 50))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes


def test_a_large_jpeg_is_reduced_while_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_DECODED_PIXELS", 64 * 48)
    code = encoded(gradient(640, 480), "JPEG")
    assert read_picture(code).shape == (60, 80, 3)  # an eighth: more than a JPEG cannot be reduced
    monkeypatch.setattr(pictures, "MAX_BYTES", 14 * 60 * 80 + len(code))
    assert read_picture(code).shape == (60, 80, 3)
    with pytest.raises(PictureError, match="too much memory"):  # all of a progressive one is kept
        read_picture(encoded(gradient(640, 480), "JPEG", progressive=True))
    monkeypatch.setattr(pictures, "MAX_JPEG_PIXELS", 640 * 480 - 1)
    with pytest.raises(PictureError, match="too much memory"):
        read_picture(code)


@pytest.mark.slow
def test_the_largest_that_are_read_take_less_than_a_gigabyte(tmp_path: Path) -> None:
    """In a process of its own, because memory once used stays counted."""
    (tmp_path / "large.png").write_bytes(grey16(7_400, 7_400, 7_400))
    for kind, side in (("JPEG", 11_000), ("WEBP", 6_000), ("AVIF", 6_000), ("HEIF", 6_000), ("JPEG2000", 5_000), ("TIFF", 6_000)):
        Image.new("RGB", (side, side), (90, 120, 30)).save(tmp_path / f"large.{kind.lower()}", kind)
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom models.pictures import PictureError, read_picture\n"
        "usage = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore, path = usage(), Path(sys.argv[1])\n"
        "print(read_picture(path).shape, (usage() - before) // 1024, sep='|')\n"
    )
    for path in sorted(tmp_path.iterdir()):
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, timeout=300)
        assert int(done.stdout.split("|")[1]) < 1000, (path.name, done.stdout)


def test_a_jpeg_of_very_many_scans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    code = encoded(gradient(), "JPEG", progressive=True)
    assert read_picture(code).shape == (48, 64, 3)
    monkeypatch.setattr(pictures, "MAX_SCANS", 3)
    with pytest.raises(PictureError, match="scans"):
        read_picture(code)


def test_what_is_cut_off_is_refused() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8))
    for kind in FORMATS:
        code = encoded(noise, kind)
        with pytest.raises(PictureError):
            read_picture(code[: len(code) // 2])
            pytest.fail(kind)


def broken(rng: random.Random, code: bytes) -> bytes:
    """A file with bytes changed, cut out, doubled or appended."""
    out = bytearray(code)
    for _ in range(rng.choice((1, 1, 4, 30))):
        place = rng.randrange(len(out)) if rng.random() < 0.5 else rng.randrange(min(len(out), 64))
        way = rng.random()
        if way < 0.5:
            out[place] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif way < 0.7:
            out[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", struct.pack(">I", 1 << 20))
            )
        elif way < 0.85:
            del out[place : place + rng.randrange(1, 40)]
        else:
            out[place:place] = out[place : place + rng.randrange(1, 400)]
        if not out:
            return b"\0"
    return bytes(out)


def fuzz(pictures: int, seed: int) -> None:
    """Read broken pictures for a while; returns how many."""
    rng = random.Random(seed)
    mixed = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8))
    seeds = [encoded(picture, kind) for kind in FORMATS for picture in (gradient(), mixed)]
    seeds += [
        encoded(mixed, "JPEG", progressive=True),
        encoded(mixed.convert("CMYK"), "JPEG"),
        encoded(mixed, "TIFF", compression="jpeg"),
    ]
    seeds += [encoded(mixed, "TIFF", compression="tiff_lzw"), encoded(mixed.convert("P"), "GIF", transparency=3)]
    for _ in range(pictures):
        code, began = broken(rng, rng.choice(seeds)), time.monotonic()
        try:
            found = read_picture(code)
            assert found.dtype == np.uint8 and found.ndim == 3 and found.shape[2] == 3 and found.size
        except PictureError as error:
            assert str(error) and "\n" not in str(error)
        assert time.monotonic() - began < 30


def test_broken_pictures_are_read_or_refused_by_one_line() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzz(200, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # kilobytes


@pytest.mark.slow
def test_many_broken_pictures_are_read_or_refused_by_one_line() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(6):
        fuzz(2000, seed)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000
