from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from watchlist.photos import PhotoError, read_photo


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("RGB", ".jpg"),
        ("RGBA", ".png"),
        ("LA", ".png"),
        ("L", ".png"),
        ("P", ".png"),
        ("CMYK", ".jpg"),
        ("I;16", ".png"),
        ("RGB", ".heic"),
        ("RGB", ".webp"),
        ("1", ".png"),
    ],
)
def test_every_kind_of_photo(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    picture = (
        Image.fromarray(np.tile(np.linspace(0, 60000, 64).astype(np.uint16), (48, 1)))
        if mode == "I;16"
        else Image.new("RGB", (64, 48), (200, 100, 50)).convert(mode)
    )
    picture.save(path)
    found = read_photo(path)
    assert found.shape == (48, 64, 3) and found.dtype == np.uint8


def test_transparent_pixels_of_a_photo_become_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_photo(tmp_path / "a.png") == 255).all()


def test_a_photo_turned_by_its_header_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").shape == (64, 48, 3)


def test_photos_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such file"):
        read_photo(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(PhotoError, match="not a picture"):
        read_photo(tmp_path / "text.jpg")
    whole = tmp_path / "whole.jpg"
    Image.effect_noise((200, 200), 80).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(PhotoError, match="cannot be read"):
        read_photo(tmp_path / "cut.jpg")
