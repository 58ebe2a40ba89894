"""What the commands of the watchlist do to people and photos, and what of their names reaches the terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from rich.table import Table
from typer.testing import CliRunner

from cli import app
from cli import enrolment as enrolling
from cli.common import SafeConsole
from pipeline.settings import CameraSettings
from watchlist.enrolment import Verdict
from watchlist.store import Store

VECTOR = np.ones(256, np.float32) / 16


def call(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def db(tmp_path: Path) -> Path:
    store = Store(tmp_path / "people.db")
    for name, photos in (("Ada", 2), ("Bo", 1)):
        identity = store.add_identity(name)
        for photo in range(photos):
            store.add_enrolment(identity, f"{photo}.png", f"{name}{photo}", b"chip", VECTOR, "r", 0.9, 80.0)
    store.close()
    return tmp_path / "people.db"


def people(db: Path) -> dict[str, int]:
    return {p.name: p.photos for p in Store(db).identities()}


def test_one_photo_is_deleted_and_the_last_one_is_told(db: Path) -> None:
    assert "removed 1, photo 1" in call("watchlist", "remove", 1, "--photo", 1, "--db", db)
    assert people(db) == {"Ada": 1, "Bo": 1}
    assert "Bo is not looked for any more" in call("watchlist", "remove", 2, "--photo", 3, "--db", db)
    with pytest.raises(Exception, match="ID 2, photo 3: nobody on the list has it"):
        call("watchlist", "remove", 2, "--photo", 3, "--db", db)


def test_a_photo_moves_and_people_merge(db: Path) -> None:
    call("watchlist", "move", 1, 2, "--photo", 2, "--db", db)
    assert people(db) == {"Ada": 1, "Bo": 2}
    assert "merged 2 into 1: Ada, 3 photos" in call("watchlist", "merge", 2, 1, "--db", db)
    assert people(db) == {"Ada": 3}
    with pytest.raises(Exception, match="ID 2: nobody on the list has it"):
        call("watchlist", "merge", 2, 1, "--db", db)


def test_two_people_may_have_one_name_if_external_ids_tell_them_apart(db: Path) -> None:
    with pytest.raises(Exception, match="give both external ids"):
        call("watchlist", "update", 2, "--name", "Ada", "--db", db)
    call("watchlist", "update", 1, "--external-id", "x1", "--db", db)
    with pytest.raises(Exception, match="external_id = 'x1': ID 1 has it"):
        call("watchlist", "update", 2, "--external-id", "x1", "--db", db)
    call("watchlist", "update", 2, "--name", "Ada", "--external-id", "x2", "--db", db)
    assert [(p.name, p.external_id) for p in Store(db).identities()] == [("Ada", "x1"), ("Ada", "x2")]


@pytest.mark.parametrize("name", ["", "  ", "A\x1b[2Jda", "A\nda", "A\u202eda"])
def test_names_that_a_terminal_would_obey_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Exception, match=r"the name (is empty|holds)"):
        call("watchlist", "add", name, tmp_path / "a.jpg", "--db", tmp_path / "p.db")
    assert not (tmp_path / "p.db").exists()


def test_a_face_is_chosen_of_one_photo_only(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="--face 2: is of one photo, 2 are given"):
        call("watchlist", "add", "Ada", "a.jpg", "b.jpg", "--face", 2, "--db", tmp_path / "p.db")
    with pytest.raises(Exception, match="--face 2: is of a photo"):
        call("search", "--identity", 1, "--face", 2, "--db", tmp_path)


def test_escape_sequences_of_names_kept_earlier_do_not_reach_the_terminal(db: Path) -> None:
    store = Store(db)
    store.update_identity(1, name="A\x1b]0;title\x07\x9bda", purpose="line\nbreak\r\x1b[31m")
    store.close()
    said = call("watchlist", "list", "--db", db)
    assert "da" in said and not set(said) & set("\x1b\x07\x9b\r")
    assert json.loads(call("watchlist", "list", "--json", "--db", db))[0]["name"].startswith("A\x1b]0")


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\x9b2Jb", "a\x07b", "a\u202eb", "a\udcffb", "a\rb"])
def test_the_console_shows_control_characters_in_place_of_obeying_them(text: str) -> None:
    file = io.StringIO()
    screen = SafeConsole(file=file, highlight=False, force_terminal=True, color_system=None, width=40)
    screen.print(text, markup=False)
    table = Table("x", box=None)
    table.add_row(text)
    screen.print(table)
    written = file.getvalue()
    written.encode()
    assert not [c for c in written if c in "\x1b\x9b\x07\u202e\r" or 0xD800 <= ord(c) < 0xE000]
    assert written.count("a") == 2 and written.count("b") == 2


@pytest.mark.parametrize("name", [".", "..", "...", "", "a/b", "a\n", "a b", "x" * 101])
def test_camera_names_that_are_no_file_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        CameraSettings(name=name, url="rtsp://h/1")


@pytest.mark.parametrize("name", ["gate", ".gate", "g.1", "-", "Tür_2", "x" * 100])
def test_other_camera_names_are_kept(name: str) -> None:
    assert CameraSettings(name=name, url="rtsp://h/1").name == name


def test_people_without_a_usable_photo_are_told(tmp_path: Path) -> None:
    verdicts = [Verdict("Ada", "1.jpg", "no_face"), Verdict("Ada", "2.jpg", "", identity=3), Verdict("Bo", "1.jpg", "blurred")]
    verdicts[0] = Verdict("Ada", "1.jpg", "no_face", identity=3)
    assert enrolling.not_enrolled([*verdicts, Verdict("Cy", "c.jpg", "no_face", external_id="7")]) == ["Bo", "Cy (7)"]
