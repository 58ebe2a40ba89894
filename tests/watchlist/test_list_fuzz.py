"""Broken lists of people: read, or refused by one line."""

import random
import unicodedata
from pathlib import Path

import pytest

from watchlist.photo_list import read_photo_list
from watchlist.photos import PhotoError

LISTS = [
    b"name,image,external_id,purpose,authority,expires\nAda,a.jpg,7,missing,court,2030-01-01\nBo,b.jpg,,,,\n",
    b'\xef\xbb\xbfName;Image;Face\r\n"Ada; L";a.jpg;2\r\n"B ""o""";b.jpg;\r\n',
    "name\timage\nJos\u00e9\tj.jpg\n".encode("utf-16"),
    b'sep=,\nname,image,purpose\nAda,a.jpg,"two\nlines"\n',
]
PIECES = [
    b'"',
    b",",
    b";",
    b"\t",
    b"\n",
    b"\r",
    b"\x00",
    b"\x1b[2J",
    b"\xff",
    b"\xfe\xff",
    b"sep=;\n",
    b"=1+1",
    b"name",
    b"\xe2\x80\xae",
]


def fuzz(folder: Path, lists: int, seed: int) -> None:
    rng, path = random.Random(seed), folder / "people.csv"
    for _ in range(lists):
        content = bytearray(rng.choice(LISTS))
        for _ in range(rng.choice((1, 2, 8))):
            place = rng.randrange(len(content) + 1)
            content[place : place + rng.choice((0, 0, 1, 5))] = rng.choice(PIECES) * rng.choice((1, 1, 1, 3000))
        path.write_bytes(content)
        try:
            entries = read_photo_list(path).entries
            assert entries
            for entry in entries:
                assert entry.name == entry.name.strip() != ""
                assert not {unicodedata.category(sign) for sign in entry.name} & {"Cc", "Cn", "Co", "Cs", "Zl", "Zp"}
                assert all(value.strip() for value in entry.details.values())
                assert not set("\x00\x1b\r") & set("".join(entry.details.get(key, "") for key in ("external_id", "expires")))
        except PhotoError as error:
            assert str(error).startswith(str(path)) and "\x1b" not in str(error)


def test_broken_lists_are_read_or_refused_by_one_line(tmp_path: Path) -> None:
    fuzz(tmp_path, 1000, 0)


@pytest.mark.slow
def test_many_broken_lists_are_read_or_refused_by_one_line(tmp_path: Path) -> None:
    for seed in range(6):
        fuzz(tmp_path, 1000, seed)
