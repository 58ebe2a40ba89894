"""Several writers at once, processes killed in the middle, long lists."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.running import ROOT
from tests.servers import until
from watchlist.photo_list import read_photo_list
from watchlist.photos import PhotoError
from watchlist.store import Store

WRITER = """
import sys
from pathlib import Path
import numpy as np
from watchlist.store import Store
store = Store(Path(sys.argv[1]))
for k in range(int(sys.argv[3])):
    with store.transaction():
        person = store.add_identity(f"{sys.argv[2]}{k}")
        for photo in ("a", "b"):
            store.add_enrolment(person, photo, photo, b"chip", np.ones(256, np.float32), "r", 0.9, 50.0)
"""


def writer(database: Path, name: str, people: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(database), name, str(people)], cwd=ROOT, stderr=subprocess.PIPE)


def test_two_processes_write_at_once(tmp_path: Path) -> None:
    database = tmp_path / "w.db"
    writers = [writer(database, name, 150) for name in "xy"]
    assert [(w.communicate(timeout=60)[1], w.returncode) for w in writers] == [(b"", 0)] * 2
    people = Store(database).identities()
    assert len(people) == 300 and {p.photos for p in people} == {2} and len({p.id for p in people}) == 300


def test_nobody_is_half_enrolled_after_kill_9(tmp_path: Path) -> None:
    database = tmp_path / "w.db"
    process = writer(database, "x", 10**6)
    until(lambda: database.exists())
    time.sleep(0.5)
    until(lambda: Store(database).identities(), 20)
    process.kill()
    process.communicate()
    people = Store(database).identities()
    assert people and {p.photos for p in people} == {2}


def test_a_long_list_is_read_or_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    lines = [f"p{k},photos/{k}.jpg" for k in range(100_000)]
    path.write_text("\n".join(["name,image", *lines]))
    entries = read_photo_list(path).entries
    assert len(entries) == 100_000 and entries[-1].name == "p99999"
    path.write_text("\n".join(["name,image", *lines[:-1], "p,"]))
    with pytest.raises(PhotoError, match="line 100001: name and image must not be empty"):
        read_photo_list(path)
