"""The Python API: what an integrator calls, without the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import warnings
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import farsight
from tests.running import ROOT, lines


@pytest.fixture(scope="module")
def listed(corridor: Path, tmp_path_factory: pytest.TempPathFactory) -> farsight.Watchlist:
    """The corridor's two people on a list."""
    watchlist = farsight.Watchlist(tmp_path_factory.mktemp("api") / "people.db")
    verdicts = watchlist.enrol(corridor / "people")
    assert [(v.name, v.photo, v.enrolled, v.code, v.identity) for v in verdicts] == [
        ("Ada", "photo.png", True, "", 1),
        ("Chen", "photo.png", True, "", 2),
    ]
    assert all(v.face_px > 24 and 0 < v.quality <= 1 and v.rotation == 0 and v.preview is None for v in verdicts)
    return watchlist


@pytest.fixture(scope="module")
def out(corridor: Path, listed: farsight.Watchlist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one `process` call."""
    out = tmp_path_factory.mktemp("api") / "out"
    found = farsight.process(corridor / "corridor.mp4", listed, out, fpir=0.0001)
    assert all(isinstance(sighting, farsight.Sighting) for sighting in found)
    return out


def copied(listed: farsight.Watchlist, folder: Path) -> farsight.Watchlist:
    return farsight.Watchlist(shutil.copy(listed.path, folder / "people.db"))


def message(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text and text
    return text


def test_people_are_objects_with_their_photos(listed: farsight.Watchlist) -> None:
    nothing = {"external_id": None, "purpose": None, "authority": None, "expires": None}
    assert [asdict(person) for person in listed.people()] == [
        {"id": 1, "name": "Ada", "photos": 1, "enabled": True} | nothing,
        {"id": 2, "name": "Chen", "photos": 1, "enabled": True} | nothing,
    ]


def test_sightings_are_the_lines_of_the_run_as_objects(out: Path) -> None:
    found, written = list(farsight.sightings(out)), lines(out)
    assert [(s.source, s.track) for s in found] == [(line["source"], line["track"]) for line in written]
    for sighting, line in zip(found, written, strict=True):
        for key in ("outcome", "identity", "name", "shots", "fpir"):
            assert getattr(sighting, key) == line[key], key
        assert sighting.start_s == pytest.approx(line["start_s"], abs=1e-3)
        assert list(sighting.reasons) == line["reasons"]
        assert (sighting.crop is None) == (line["best"] is None or line["best"]["crop"] is None)
    assert {s.name for s in found if s.outcome == "match"} == {"Ada", "Chen"}
    assert all(s.crop is not None and s.crop.is_file() for s in found if s.outcome == "match")
    assert not [path.name for path in out.rglob("*") if path.stat().st_mode & 0o077]  # for the owner alone


def test_a_photo_finds_the_tracks_of_its_person_best_first(corridor: Path, out: Path) -> None:
    photo = corridor / "people" / "Ada" / "photo.png"
    hits = farsight.search(photo, out, top=3, fpir=0.0001)
    assert len(hits) == 3 and [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    tracks = {(s.source, s.track): s for s in farsight.sightings(out)}
    assert tracks[hits[0].source, hits[0].track].name == "Ada" and hits[0].outcome == "match"
    assert hits[0].crop is not None and hits[0].crop.is_file()
    assert farsight.search(photo, out, min_face_px=10_000) == []
    assert farsight.search(photo, out, since=datetime(2001, 1, 1)) == []  # a recording whose time of day is not known


def test_a_process_call_prints_nothing_and_works_outside_the_main_thread(
    corridor: Path, listed: farsight.Watchlist, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: list[int] = []

    def call() -> None:
        counts.append(len(list(farsight.process([corridor / "corridor.mp4"], listed, tmp_path / "out"))))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(120)
    assert counts and counts[0] >= 4
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_source_that_fails_is_a_warning_and_the_others_are_there(
    corridor: Path, listed: farsight.Watchlist, tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = farsight.process([tmp_path / "broken.mp4", corridor / "corridor.mp4"], listed, tmp_path / "out")
    told = [str(warning.message) for warning in seen if warning.category is farsight.SourceWarning]
    assert len(told) == 1 and told[0].startswith("broken: failed: ")
    assert {s.source for s in found} == {"corridor"}


def test_a_removed_person_is_gone_and_the_id_is_not_used_again(
    corridor: Path, listed: farsight.Watchlist, tmp_path: Path
) -> None:
    watchlist = copied(listed, tmp_path)
    assert watchlist.remove(1) is True and watchlist.remove(1) is False
    assert [person.name for person in watchlist.people()] == ["Chen"]
    again = watchlist.enrol(corridor / "people" / "Ada" / "photo.png", name="Ada Lovelace", external_id="a-1")
    assert [(v.enrolled, v.identity) for v in again] == [(True, 3)]
    assert [(p.id, p.name, p.external_id) for p in watchlist.people()] == [(2, "Chen", None), (3, "Ada Lovelace", "a-1")]


def test_a_refused_photo_is_a_verdict_with_a_reason_not_an_error(
    corridor: Path, listed: farsight.Watchlist, tmp_path: Path
) -> None:
    watchlist = copied(listed, tmp_path)
    Image.fromarray(np.full((200, 200, 3), 90, np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "text.jpg").write_text("no picture")
    verdicts = watchlist.enrol([tmp_path / "grey.png", tmp_path / "text.jpg"], name="Nobody")
    assert [(v.photo, v.enrolled, v.code, v.identity) for v in verdicts] == [
        ("grey.png", False, "no_face", None),
        ("text.jpg", False, "unreadable", None),
    ]
    lookalike = corridor / "people" / "Ada" / "photo.png"
    assert [v.code for v in watchlist.enrol(lookalike, name="Twin")] == ["looks_like"]
    assert [v.enrolled for v in watchlist.enrol(lookalike, name="Twin", allow_lookalike=True)] == [True]


def test_the_faces_of_a_group_photo_are_numbered_and_chosen(corridor: Path, tmp_path: Path) -> None:
    faces = [np.asarray(Image.open(corridor / "people" / name / "photo.png").convert("RGB")) for name in ("Ada", "Chen")]
    Image.fromarray(np.concatenate(faces, axis=1)).save(tmp_path / "two.png")
    watchlist = farsight.Watchlist(tmp_path / "people.db")
    (refused,) = watchlist.enrol(tmp_path / "two.png", name="Ada")
    assert refused.code == "several_faces" and refused.preview is not None and refused.preview.is_file()
    (chosen,) = watchlist.enrol(tmp_path / "two.png", name="Ada", face=1)
    assert chosen.enrolled and not refused.preview.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"photos": "none.csv"}, "no such file or folder"),
        ({"photos": "a.jpg", "name": "  "}, "is empty"),
        ({"photos": [], "name": "Ada"}, "photos: is empty"),
        ({"photos": ["a.jpg", "b.jpg"]}, "name: is missing"),
        ({"photos": ["a.jpg", "b.jpg"], "name": "Ada", "face": 1}, "face 1"),
        ({"photos": "a.jpg", "name": "Ada", "face": 0}, "face 0"),
        ({"photos": "people", "external_id": "x"}, "external_id"),
        ({"photos": "a.jpg", "name": "Ada", "external_id": "\x1b"}, "control character"),
    ],
)
def test_bad_arguments_of_enrol_are_one_line(tmp_path: Path, arguments: dict[str, object], said: str) -> None:
    watchlist = farsight.Watchlist(tmp_path / "people.db")
    with pytest.raises(farsight.FarsightError) as error:
        watchlist.enrol(**arguments)  # type: ignore[arg-type]
    assert said in message(error)
    assert not watchlist.path.exists()  # nothing was made


def test_a_missing_or_damaged_list_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(farsight.FarsightError) as error:
        farsight.Watchlist(tmp_path / "none.db").people()
    assert "no such database" in message(error)
    (tmp_path / "text.db").write_text("no database, but long enough to be read as the header of one\n" * 20)
    watchlist = farsight.Watchlist(tmp_path / "text.db")
    for call in (watchlist.people, lambda: watchlist.remove(1), lambda: farsight.search("a.jpg", watchlist.path)):
        with pytest.raises(farsight.FarsightError) as error:
            call()
        assert "text.db" in message(error)
    with pytest.raises(farsight.FarsightError) as error:
        farsight.sightings(tmp_path / "out")
    assert "no such database" in message(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"top": 0}, "top 0"),
        ({"fpir": 0.0}, "fpir 0.0"),
        ({"fpir": float("nan")}, "fpir nan"),
        ({"camera": "gate"}, "camera gate"),
        ({"since": "yesterday"}, "since yesterday"),
        ({"face": 9}, "no_such_face"),
        ({"photo": "none.jpg"}, "none.jpg: unreadable"),
    ],
)
def test_bad_arguments_of_search_are_one_line(corridor: Path, out: Path, arguments: dict[str, object], said: str) -> None:
    photo = corridor / "people" / "Ada" / "photo.png"
    with pytest.raises(farsight.FarsightError) as error:
        farsight.search(**({"photo": photo, "db": out} | arguments))  # type: ignore[arg-type]
    assert said in message(error)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"sources": "none.mp4"}, "none.mp4"),
        ({"sources": []}, "--source"),
        ({"fpir": 2.0}, "fpir"),
        ({"engine": "spark"}, "engine"),
        ({"watchlist": "nobody"}, "nobody"),
        ({"config": "none.yaml"}, "none.yaml"),
    ],
)
def test_bad_arguments_of_process_are_one_line(
    corridor: Path, listed: farsight.Watchlist, tmp_path: Path, arguments: dict[str, object], said: str
) -> None:
    given = {"sources": corridor / "corridor.mp4", "watchlist": listed, "out": tmp_path / "out"} | arguments
    with pytest.raises(farsight.FarsightError) as error:
        farsight.process(**given)  # type: ignore[arg-type]
    assert said in message(error)


def test_a_folder_that_holds_a_run_is_not_overwritten(corridor: Path, listed: farsight.Watchlist, out: Path) -> None:
    before = json.loads((out / "run.json").read_text())["elapsed_s"]
    with pytest.raises(farsight.FarsightError) as error:
        farsight.process(corridor / "corridor.mp4", listed, out)
    assert "earlier run" in message(error)
    assert json.loads((out / "run.json").read_text())["elapsed_s"] == before


def test_a_crop_outside_the_output_folder_is_not_handed_out(out: Path, tmp_path: Path) -> None:
    from watchlist.store import Store

    folder = tmp_path / "moved"
    shutil.copytree(out, folder, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    (tmp_path / "secret.png").write_bytes(b"x")
    store = Store(folder / "farsight.db")
    store._db.execute("UPDATE tracks SET crop = '../secret.png'")
    store.close()
    assert [sighting.crop for sighting in farsight.sightings(folder)] == [None] * len(lines(out))


def test_the_examples_of_the_documentation_run_one_after_another(corridor: Path, tmp_path: Path) -> None:
    shutil.copytree(corridor / "people", tmp_path / "people")
    ada, chen = (corridor / "people" / name / "photo.png" for name in ("Ada", "Chen"))
    for name in ("ada1.jpg", "ada2.jpg", "photo.jpg"):
        shutil.copy(ada, tmp_path / name)
    faces = [np.asarray(Image.open(path).convert("RGB")) for path in (ada, chen)]
    Image.fromarray(np.concatenate(faces, axis=1)).save(tmp_path / "group.jpg")
    (tmp_path / "hall").mkdir()
    for name in ("gate.mp4", "hall/hall.mp4"):
        shutil.copy(corridor / "corridor.mp4", tmp_path / name)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python-api.md").read_text(), re.S)
    assert len(blocks) == 6
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Ada photo.png enrolled" in done.stdout and "missing.mp4" in done.stdout
