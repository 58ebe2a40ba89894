"""Databases that were damaged, are another program's, or lie where nobody can write: one line, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from cli import app
from console.app import make_app
from models import recognizer_card
from pipeline.errors import FarsightError
from tests.stages.test_annotate import PATH, row
from watchlist.gallery import Gallery
from watchlist.sqlite_connection import StoreError, temporary_copy
from watchlist.store import Store

DIGEST = recognizer_card()["sha256"]
VECTOR = np.ones(256, np.float32) / 16
HALF = VECTOR.astype(np.float16).tobytes()
NAN = np.full(256, np.nan, np.float16).tobytes()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    store = Store(folder / "farsight.db")
    identity = store.add_identity("Ada")
    store.add_enrolment(identity, "a.png", "1", b"chip", VECTOR, DIGEST, 0.9, 80.0)
    more = {"template": HALF, "recognizer": DIGEST, "threshold": 0.4, "identity": identity, "best_box": "[1, 2, 3, 4]"}
    store.put_tracks([row(PATH) | more, row(PATH, "no_match") | more | {"track": "y-0001", "identity": None, "name": None}])
    store.close()
    return folder


def spoil(out: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(out / "farsight.db") as db:
        db.execute(statement, values)
    db.close()


def commands(out: Path) -> list[list[str]]:
    case = str(out.parent / "case.zip")
    return [
        ["search", "--track", "cam/x-0007", "--db", str(out), "--json"],
        ["search", "--identity", "1", "--db", str(out)],
        ["watchlist", "list", "--db", str(out)],
        ["watchlist", "photos", "1", "--db", str(out)],
        ["watchlist", "calibrate", "--db", str(out)],
        ["export", case, "--force", "--db", str(out), "--identity", "1"],
        ["purge", "--match", "1", "--db", str(out)],
    ]


def outcome(arguments: list[str]) -> tuple[int, str]:
    """Exit code and text, as `main` would give them; anything else is a traceback."""
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, StoreError):
        return 2, str(done.exception)
    if isinstance(done.exception, FarsightError):
        return done.exception.exit_code, str(done.exception)
    if isinstance(done.exception, (OSError, sqlite3.Error)):
        return 4, str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE tracks SET template = ?", NAN),
        ("UPDATE tracks SET template = ?", HALF[:-1]),
        ("UPDATE tracks SET template = ?", "text"),
        ("UPDATE tracks SET template = ? WHERE track = 'y-0001'", HALF[:100]),
        ("UPDATE enrolments SET vector = ?", np.full(256, np.inf, np.float32).tobytes()),
        ("UPDATE enrolments SET vector = ?", VECTOR.tobytes()[:-2]),
    ],
)
def test_damaged_embeddings_are_named_instead_of_an_empty_answer(out: Path, statement: str, value: object) -> None:
    spoil(out, statement, value)
    code, text = outcome(["search", "--identity", "1", "--db", str(out), "--json"])
    assert code == 2 and "farsight.db: " in text and ("damaged" in text or "different recognisers" in text)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("outcome", "maybe"),
        ("reasons", "{"),
        ("reasons", "[1]"),
        ("best_box", "[1, 2]"),
        ("score", "x"),
        ("start_s", float("inf")),
    ],
)
def test_damaged_tracks_are_named(out: Path, column: str, value: object) -> None:
    spoil(out, f"UPDATE tracks SET {column} = ? WHERE track = 'x-0007'", value)
    with pytest.raises(StoreError, match=rf"farsight\.db: damaged \({column} of the track cam/x-0007\); put back"):
        Store(out / "farsight.db").tracks()


def test_an_embedding_of_another_length_is_told_by_the_list(out: Path) -> None:
    store = Store(out / "farsight.db")
    store.add_enrolment(1, "b.png", "2", b"chip", VECTOR[:100], DIGEST, 0.9, 80.0)
    with pytest.raises(StoreError, match="enrolled photos have embeddings of different lengths"):
        Gallery(store, DIGEST)


def test_a_gallery_is_not_asked_with_what_does_not_fit(out: Path) -> None:
    with pytest.raises(StoreError, match="embeddings of 256 values, asked for one of 100"):
        Gallery(Store(out / "farsight.db"), DIGEST).nearest(VECTOR[None, :100])


def test_the_page_says_that_run_json_is_damaged(out: Path) -> None:
    for text in (
        "{",
        "[]",
        '{"groups": [{"stages": 3}]}',
        '{"sources": [3, {"name": "a"}], "elapsed_s": {"x": 1}}',
        '{"groups": 7}',
    ):
        (out / "run.json").write_text(text)
        answer = TestClient(make_app(out / "farsight.db"), "http://localhost").get("/")
        assert answer.status_code == 200 and "run.json is damaged" in answer.text


def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    before = (tmp_path / "other.db").read_bytes()
    code, text = outcome(["watchlist", "list", "--db", str(tmp_path / "other.db")])
    assert code == 2 and "a database of another program (it holds the table 'bookmarks')" in text
    assert b"identities" not in before and b"identities" not in (tmp_path / "other.db").read_bytes()


@pytest.fixture
def frozen(out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder on a medium that cannot be written to."""
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: not mode & os.W_OK and real(path, mode, **more))
    return out


@pytest.mark.parametrize("with_log", [False, True])
def test_everything_that_reads_works_where_nobody_can_write(out: Path, frozen: Path, with_log: bool) -> None:
    before = {path.name for path in frozen.iterdir()}
    if with_log:  # as a copy of a database that was in use
        writer = sqlite3.connect(frozen / "farsight.db")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE identities SET name = 'Ida'")
        writer.commit()
        for end in ("", "-wal"):
            shutil.copyfile(frozen / f"farsight.db{end}", frozen / f"kept{end}")
        writer.close()
        for end in ("", "-wal"):
            (frozen / f"kept{end}").replace(frozen / f"farsight.db{end}")
        before |= {"farsight.db-wal"}
    for arguments in commands(frozen)[:6]:
        code, text = outcome(arguments)
        assert code == 0, text
    assert ("Ida" if with_log else "Ada") in outcome(["watchlist", "list", "--db", str(frozen)])[1]
    assert TestClient(make_app(frozen / "farsight.db"), "http://localhost").get("/api/sightings").json()[0]["track"] == "x-0007"
    assert {path.name for path in frozen.iterdir()} == before  # nothing beside it
    for change in (["purge", "--match", "1"], ["watchlist", "remove", "1"]):
        code, text = outcome([*change, "--db", str(frozen)])
        assert code == 2 and "cannot be written to" in text


def test_a_list_on_a_medium_that_cannot_be_written_is_copied(out: Path, frozen: Path, tmp_path: Path) -> None:
    other = Store(frozen / "farsight.db")
    with pytest.MonkeyPatch.context() as writable:
        writable.setattr(os, "access", lambda *_, **__: True)
        run = Store(tmp_path / "run.db")
        run.copy_watchlist(other)
        assert [person.name for person in run.identities()] == ["Ada"]


def test_an_index_that_names_files_elsewhere_is_made_anew(out: Path) -> None:
    from watchlist.template_index import TemplateIndex, index_folder

    store = Store(out / "farsight.db")
    index_folder(store).mkdir()
    for state in ('{"name": "../../x", "purged": 0}', "[]", '{"name": 3}', "nonsense"):
        (index_folder(store) / "state.json").write_text(state)
        assert len(TemplateIndex(store)) == 2
        shutil.rmtree(index_folder(store))
        index_folder(store).mkdir()


def fuzzed(out: Path, seed: int) -> tuple[str, Any]:
    """Spoil the database in one of many ways; says how."""
    rng = np.random.default_rng(seed)
    path = out / "farsight.db"
    if seed % 3 == 0:  # bytes
        content = bytearray(path.read_bytes())
        for _ in range(int(rng.integers(1, 40))):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        path.write_bytes(content if seed % 2 else content[: int(rng.integers(1, len(content)))])
        return "bytes", seed
    values = [
        None,
        "",
        "x",
        -1,
        2**62,
        1e308,
        float("inf"),
        b"",
        b"\xff" * 7,
        "[" * 5000,
        "\ud800".encode("utf-8", "surrogatepass"),
        NAN,
    ]
    table = ("tracks", "identities", "enrolments", "generation", "calibrations")[int(rng.integers(5))]
    db = sqlite3.connect(path)
    try:
        columns = [r[1] for r in db.execute(f"PRAGMA table_info({table})")]
        column, value = columns[int(rng.integers(len(columns)))], values[int(rng.integers(len(values)))]
        if table == "calibrations":
            db.execute("INSERT INTO calibrations VALUES (?, 1, 1, '[]')", (DIGEST,))
        db.execute(f"UPDATE {table} SET {column} = ?", (value,))
        db.commit()
    except sqlite3.Error:
        pass
    finally:
        db.close()
    return f"{table}.{column}", value


def survives(out: Path, seed: int, tmp_path: Path) -> None:
    spoilt = tmp_path / f"spoilt{seed}"
    shutil.copytree(out, spoilt)
    how = fuzzed(spoilt, seed)
    for arguments in commands(spoilt):
        code, text = outcome(arguments)
        assert code in (0, 1, 2, 4) and "Traceback" not in text, (how, arguments)
    try:
        client = TestClient(make_app(spoilt / "farsight.db"), "http://localhost")
    except StoreError:
        return
    for address in ("/", "/api/sightings", "/api/identities", "/tracks?outcome=match"):
        answer = client.get(address)  # raises what the application does not answer
        assert answer.status_code in (200, 500) and (answer.status_code == 200 or "farsight.db" in answer.json()["detail"]), how
    shutil.rmtree(spoilt)


@pytest.mark.parametrize("seed", range(12))
def test_a_database_spoilt_at_random_gives_no_traceback(out: Path, seed: int, tmp_path: Path) -> None:
    survives(out, seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 500))
def test_databases_spoilt_in_many_ways_give_no_traceback(out: Path, seed: int, tmp_path: Path) -> None:
    survives(out, seed, tmp_path)


def test_a_damaged_calibration_says_how_to_go_back(out: Path) -> None:
    spoil(out, "INSERT INTO calibrations VALUES (?, 1, 1, ?)", DIGEST, json.dumps([{"face_px": "x"}]))
    code, text = outcome(["search", "--identity", "1", "--db", str(out)])
    assert code == 2 and "watchlist calibrate --reset" in text


def test_a_full_disk_is_named_where_a_database_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path / "farsight.db").close()
    monkeypatch.setattr(
        "watchlist.database.connect", lambda *_: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error"))
    )
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="its disk is full"):
        Store(tmp_path / "farsight.db")


def test_copies_of_databases_that_killed_processes_left_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, fresh, living = (tmp_path / f"farsight-copy-{n}" for n in (f"{dead.pid}-a", f"{dead.pid}-b", f"{os.getpid()}-c"))
    for folder in (old, fresh, living):
        folder.mkdir()
        (folder / "farsight.db").write_bytes(b"faces")
    for folder in (old, living):
        os.utime(folder, (1e9, 1e9))
    Store(tmp_path / "farsight.db").close()
    with temporary_copy(tmp_path / "farsight.db") as copy:
        assert copy.exists() and not old.exists() and fresh.exists() and living.exists()
