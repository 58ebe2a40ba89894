from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from watchlist.photos import PhotoError, list_people, read_photo


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


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (read_photo(tmp_path / "a.png") == 255).all()


def test_a_photo_turned_by_its_header_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").shape == (64, 48, 3)


def test_photos_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setattr("watchlist.photos.MOST_PIXELS", 100)
    with pytest.raises(PhotoError, match="above"):
        read_photo(whole)


def test_a_folder_of_people(tmp_path: Path) -> None:
    for name in (
        "Ada/1.jpg",
        "Ada/2.jfif",
        "Ada/notes.txt",
        "Bo/1.heic",
        "Bo/.hidden.jpg",
        ".hidden/1.jpg",
        "Cy.jpg",
        "list.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "Di").mkdir()
    found = [(e.name, e.photo.name) for e in list_people(tmp_path)]
    assert found == [
        ("Ada", "1.jpg"),
        ("Ada", "2.jfif"),
        ("Ada", "notes.txt"),
        ("Bo", "1.heic"),
        ("Cy", "Cy.jpg"),
        ("Di", "Di"),  # nobody is left out without a word
    ]
    for name, why in (("Ada/notes.txt", "not a picture"), ("Di", "no photo in this folder")):
        with pytest.raises(PhotoError, match=why):
            read_photo(tmp_path / name)


def test_a_list_of_people(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("\ufeffname,image,purpose\nAda,a.jpg,missing\n Bo ,sub/b.jpg,\n", encoding="utf-8")
    found = list_people(tmp_path / "p.csv")
    assert [(e.name, e.photo, e.details) for e in found] == [
        ("Ada", tmp_path / "a.jpg", {"purpose": "missing"}),
        ("Bo", tmp_path / "sub/b.jpg", {}),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"who,image\n", "lacks name"),
        (b"name,image,colour\n", "unknown colour"),
        (b"name,image\nAda,\n", "line 2: name and image"),
        (b"name,image\n", "no photos in it"),
        (b"name,image\n\xff\xfe,x\n", "not a UTF-8"),
    ],
)
def test_lists_with_faults(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(PhotoError, match=said):
        list_people(tmp_path / "p.csv")
