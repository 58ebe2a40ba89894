import os
import unicodedata
from pathlib import Path

import pytest

from watchlist.photo_list import read_photo_list
from watchlist.photos import PhotoError, read_photo


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def found_in(path: Path) -> list[tuple[str, str]]:
    return [(entry.name, str(entry.photo.relative_to(path))) for entry in read_photo_list(path).entries]


def test_a_folder_of_people_is_read(tmp_path: Path) -> None:
    make(tmp_path, "Ada/1.jpg", "Ada/2.jfif", "Ada/notes.txt", "Bo/1.heic", "Cy.jpg", "Ed.jfif", "Flo.avif", "Gus.hif", "Ira.jp2")
    (tmp_path / "Di").mkdir()
    assert found_in(tmp_path) == [
        ("Ada", "Ada/1.jpg"),
        ("Ada", "Ada/2.jfif"),
        ("Ada", "Ada/notes.txt"),
        ("Bo", "Bo/1.heic"),
        ("Cy", "Cy.jpg"),
        ("Di", "Di"),  # nobody is left out without a word
        ("Ed", "Ed.jfif"),
        ("Flo", "Flo.avif"),
        ("Gus", "Gus.hif"),
        ("Ira", "Ira.jp2"),
    ]
    for name, why in (("Ada/notes.txt", "an empty file"), ("Di", "a folder")):
        with pytest.raises(PhotoError, match=why):
            read_photo(tmp_path / name)


def test_what_lies_in_a_folder_and_is_nobodys_photo_is_named(tmp_path: Path) -> None:
    make(tmp_path, "Ada/1.jpg", "list.txt", "README")
    (tmp_path / "gone.jpg2").symlink_to(tmp_path / "nothing")
    left = {Path(path).name: why for path, why in read_photo_list(tmp_path).skipped}
    assert left == {
        "list.txt": ".txt is no picture's suffix",
        "README": "a file without a suffix is no picture's suffix",
        "gone.jpg2": "a link to nothing",
    }


def test_files_of_systems_and_file_managers_are_passed_over(tmp_path: Path) -> None:
    make(
        tmp_path, "Ada/1.jpg", "Ada/.hidden.jpg", "Ada/._1.jpg", ".hidden/1.jpg", ".Trash-1000/files/2.jpg", "__MACOSX/Ada/1.jpg"
    )
    make(tmp_path, "$RECYCLE.BIN/3.jpg", "@eaDir/1.jpg", "Ada/@eaDir/1.jpg", "Ada/Thumbs.db", "desktop.ini", ".DS_Store")
    assert found_in(tmp_path) == [("Ada", "Ada/1.jpg")] and not read_photo_list(tmp_path).skipped


def test_photos_in_sub_folders_are_their_persons(tmp_path: Path) -> None:
    make(tmp_path, "Ada/1.jpg", "Ada/2019/2.jpg", "Ada/2019/old/3.jpg", "Bo/scans/1.jpg")
    assert found_in(tmp_path) == [
        ("Ada", "Ada/1.jpg"),
        ("Ada", "Ada/2019/2.jpg"),
        ("Ada", "Ada/2019/old/3.jpg"),
        ("Bo", "Bo/scans/1.jpg"),
    ]


def test_a_group_of_people_is_not_taken_for_one_person(tmp_path: Path) -> None:
    make(tmp_path, "Ada/1.jpg", "team/Bo/1.jpg", "team/Cy/1.jpg")
    listing = read_photo_list(tmp_path)
    assert [e.name for e in listing.entries] == ["Ada"]
    assert [(Path(p).name, "2 folders" in why) for p, why in listing.skipped] == [("team", True)]


def test_links_are_followed_once(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "ada/1.jpg")
    people = make(tmp_path / "people", "Bo/1.jpg")
    (people / "Ada").symlink_to(tmp_path / "elsewhere" / "ada")
    (people / "Bo" / "again").symlink_to(people)
    listing = read_photo_list(people)
    assert [(e.name, e.photo.name) for e in listing.entries] == [("Ada", "1.jpg"), ("Bo", "1.jpg")]
    assert [why for _, why in listing.skipped] == ["a folder that was read already"]


def test_a_name_is_one_in_every_unicode_form(tmp_path: Path) -> None:
    composed, taken_apart = unicodedata.normalize("NFC", "José"), unicodedata.normalize("NFD", "José")
    (tmp_path / "p.csv").write_text(f"name,image\n{composed},a.jpg\n{taken_apart},b.jpg\n", encoding="utf-8")
    assert {entry.name for entry in read_photo_list(tmp_path / "p.csv").entries} == {composed}


def test_a_name_that_differs_in_case_is_another_person_with_a_warning(tmp_path: Path) -> None:
    listing = read_photo_list(make(tmp_path, "Ada/1.jpg", "ada/1.jpg"))
    assert [e.name for e in listing.entries] == ["Ada", "ada"]
    assert listing.warnings == ["'Ada' and 'ada' differ only in case or spaces, and are two people"]


def test_control_characters_in_a_folders_name_are_not_kept(tmp_path: Path) -> None:
    make(tmp_path, "A\x1b[31md\na/1.jpg")
    (tmp_path / os.fsdecode(b"B\xff")).mkdir()
    assert [e.name for e in read_photo_list(tmp_path).entries] == ["A\ufffd[31md\ufffda", "B\ufffd"]


def test_a_csv_of_people_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("\ufeffname,image,purpose\nAda,a.jpg,missing\n Bo ,sub/b.jpg,\n", encoding="utf-8")
    assert [(e.name, e.photo, e.details) for e in read_photo_list(tmp_path / "p.csv").entries] == [
        ("Ada", tmp_path / "a.jpg", {"purpose": "missing"}),
        ("Bo", tmp_path / "sub/b.jpg", {}),
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"name;image;external_id\nAda;a.jpg;7\n",
        b"name\timage\texternal_id\nAda\ta.jpg\t7\n",
        b"Name, IMAGE ,External ID\r\nAda,a.jpg,7\r\n\r\n",
        b'sep=;\r\n"name";"image";"external-id"\r\n"Ada";"a.jpg";"7"\r\n',
        "\ufeffname,image,external_id\nAda,a.jpg,7".encode(),
        "name\timage\texternal_id\r\nAda\ta.jpg\t7\r\n".encode("utf-16"),
        b"external_id,name,image\n7,Ada,a.jpg\n",
    ],
)
def test_lists_as_programs_write_them(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    (entry,) = read_photo_list(tmp_path / "p.csv").entries
    assert (entry.name, entry.photo, entry.details) == ("Ada", tmp_path / "a.jpg", {"external_id": "7"})


def test_a_line_break_in_a_cell_is_kept(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text('name,image,purpose,authority\nAda,a.jpg,"missing\nsince May",court\nBo,b.jpg,,\n')
    first, second = read_photo_list(tmp_path / "p.csv").entries
    assert first.details == {"purpose": "missing\nsince May", "authority": "court"} and second.name == "Bo"


def test_two_rows_of_one_person_that_differ_give_a_warning(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,image,external_id,authority\nAda,a.jpg,7,court\nAda,b.jpg,7,police\nAda,c.jpg,8,x\n")
    assert read_photo_list(tmp_path / "p.csv").warnings == [
        "line 3: authority = 'police' of '7' differs from 'court' in line 2; the last holds"
    ]


def test_a_row_may_say_which_face_is_meant(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,image,face\nAda,a.jpg,2\nBo,b.jpg,\n")
    assert [e.face for e in read_photo_list(tmp_path / "p.csv").entries] == [2, None]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"who,image\n", "lacks name"),
        (b"name|image\nAda|a.jpg\n", "lacks name, image"),
        (b"name,image,colour\n", "unknown colour"),
        (b"name,image,Name\n", "has name twice"),
        (b"name,image\nAda,\n", "line 2: name and image"),
        (b"name,image\n", "no photos in it"),
        (b"name,image\n\xff\xfe,x\n", "not a UTF-8"),
        (b"", "an empty file"),
        (b'name,image\nAda,a.jpg\n"Bo,b.jpg\nCy,c.jpg\n', "not a CSV"),  # a quote that never ends would swallow the rest
        (b"name,image\nAda,a.jpg,7\n", "line 2: 3 cells, the header has 2"),
        (b'name,image\n"A\nda",a.jpg\n', "name = 'A.nda' holds a line break"),
        (b"name,image,purpose\nAda,a.jpg,\x1b[2J\n", "line 2: purpose .* control character"),
        (b"name,image\nAda\x00,a.jpg\n", "control character"),
        (b"name,image,expires\nAda,a.jpg,tomorrow\n", "line 2: expires"),
        (b"name,image,face\nAda,a.jpg,0\n", "line 2: face"),
        (b"name,image\n" + b"x" * 200_000 + b",a.jpg\n", "line 2: not a CSV"),
    ],
)
def test_lists_with_faults_are_refused_by_line(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(PhotoError, match=said):
        read_photo_list(tmp_path / "p.csv")


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    with pytest.raises(PhotoError, match="a pipe, device or socket"):
        read_photo_list(tmp_path / "p.csv")
