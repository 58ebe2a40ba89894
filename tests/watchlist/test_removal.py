"""Somebody who is taken off the list leaves nothing behind."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from cli import app
from pipeline.errors import SettingsError
from stages.record import write_jsonl
from tests.stages.test_annotate import PATH, row
from watchlist.alert_tables import Alert
from watchlist.jsonl import map_lines
from watchlist.schema import MIGRATIONS
from watchlist.store import Store

RNG = np.random.default_rng(3)
VECTORS = RNG.standard_normal((40, 256)).astype(np.float32)
CHIPS = [RNG.bytes(3000) for _ in VECTORS]


def listed(path: Path) -> Store:
    """Forty people, so that there are pages to leave something in."""
    store = Store(path)
    for n, vector in enumerate(VECTORS):
        details = {
            "external_id": f"EXTERNAL-{n:03d}",
            "purpose": f"purpose number {n:03d}",
            "authority": "court",
            "expires": "2099-01-01",
        }
        identity = store.add_identity(f"Somebody {n:03d}", **details)
        store.add_enrolment(identity, f"photo-{n:03d}.jpg", f"{n:064d}", CHIPS[n], vector, "r", 0.9, 80.0)
    return store


def test_of_somebody_removed_no_byte_is_left(tmp_path: Path) -> None:
    store = listed(tmp_path / "people.db")
    store.close()
    call = CliRunner().invoke
    assert (
        call(app, ["watchlist", "update", "8", "--name", "Ada Lovelace-Byron", "--db", str(tmp_path / "people.db")]).exit_code
        == 0
    )
    done = call(app, ["watchlist", "remove", "8", "--db", str(tmp_path / "people.db")])
    assert done.exit_code == 0 and done.output == "removed 8\n"
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for text in (b"Somebody 007", b"EXTERNAL-007", b"purpose number 007", b"photo-007", b"Lovelace"):
        assert text not in content, text
    for blob in (VECTORS[7].tobytes(), CHIPS[7]):
        assert not any(blob[at : at + 8] in content for at in range(0, len(blob) - 8, 8))
    left = Store(tmp_path / "people.db")
    assert len(left.identities()) == 39 and left.add_identity("New") == 41


def test_a_photo_that_somebody_else_has_too_stays_theirs(tmp_path: Path) -> None:
    store = listed(tmp_path / "people.db")
    twin = store.add_identity("Twin of number eight")
    store.add_enrolment(twin, "twin.jpg", "f" * 64, CHIPS[7], VECTORS[7], "r", 0.9, 80.0)
    store.close()
    done = CliRunner().invoke(app, ["watchlist", "remove", "8", "--db", str(tmp_path / "people.db")])
    assert done.exit_code == 0 and done.output == "removed 8\n"
    assert [photo.chip for photo in Store(tmp_path / "people.db").enrolments(twin)] == [CHIPS[7]]


def test_tracks_and_lines_that_named_them_keep_the_id_alone(tmp_path: Path) -> None:
    store = listed(tmp_path / "farsight.db")
    store.put_tracks([row(PATH) | {"identity": 8, "name": "Somebody 007", "nearest": "Somebody 007"}])
    store.put_tracks([row(PATH, "no_match") | {"track": "y-0001", "name": None, "nearest": "Somebody 007"}])
    content = json.dumps({"camera": "cam", "track": "x-0007", "identity": 8, "name": "Somebody 007"})
    store.put_alerts([Alert("k", "match", 1e9, "cam", "x-0007", 8, content)], ["webhook"])
    write_jsonl(tmp_path / "sightings.jsonl", store.iter_final())
    (tmp_path / "alerts.jsonl").write_text(content + "\n")
    (tmp_path / "report.html").write_text("<b>Somebody 007</b>")
    store.close()
    assert CliRunner().invoke(app, ["watchlist", "remove", "8", "--db", str(tmp_path)]).exit_code == 0
    assert not any(b"Somebody 007" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    track = Store(tmp_path / "farsight.db").tracks()[0]
    assert (track["identity"], track["name"], track["outcome"]) == (8, "removed (ID 8)", "match")
    lines = [json.loads(line) for line in (tmp_path / "sightings.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["removed (ID 8)", None]


def test_a_copy_of_the_list_forgets_them_too(tmp_path: Path) -> None:
    people, run = listed(tmp_path / "people.db"), Store(tmp_path / "run.db")
    run.copy_watchlist(people)
    run.put_tracks([row(PATH) | {"identity": 8, "name": "Somebody 007", "nearest": "Somebody 007"}])
    people.remove_identity(8)
    run.copy_watchlist(people)
    assert run.tracks()[0]["name"] == "removed (ID 8)" and run.erasure_pending() and run.finish_erasure()
    assert b"Somebody 007" not in run.path.read_bytes()


def test_what_versions_before_left_of_removed_people_goes_when_the_database_is_opened(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "people.db") as old:
        for script in MIGRATIONS[:9]:
            old.executescript(script)
        old.execute("INSERT INTO identities (id, name, created, removed) VALUES (8, 'Somebody gone', 1, 1)")
        for what, detail in (("update", {"identity": 8, "name": "Somebody gone"}), ("enrol", {"identity": 8, "name": ODD})):
            old.execute("INSERT INTO audit (at, what, detail) VALUES (1, ?, ?)", (what, json.dumps(detail)))
        old.execute("PRAGMA user_version = 9")
    old.close()
    again = Store(tmp_path / "people.db")
    assert again.erasure_pending() and again.finish_erasure()
    assert b"Somebody gone" not in again.path.read_bytes() and b"Brien" not in again.path.read_bytes()


ODD = "O'Brien & Söhne <x>"


def named_everywhere(out: Path) -> Store:
    """A person of an odd name in everything that a run writes."""
    store = listed(out / "farsight.db")
    store.update_identity(8, name=ODD)
    store.put_tracks([row(PATH) | {"identity": 8, "name": ODD, "nearest": ODD}])
    store.put_tracks([row(PATH, "no_match") | {"track": "y-0001", "name": None, "nearest": ODD}])
    write_jsonl(out / "sightings.jsonl", store.iter_final())
    (out / "report.html").write_text("O&#39;Brien &amp; Söhne &lt;x&gt; <img>")
    watchlist = {
        "refused": [
            {"name": ODD, "photo": "brien-at-home.jpg", "reason": "no_face"},
            {"name": "B", "photo": "b.jpg", "reason": "x"},
        ],
        "warnings": [f"{ODD!r} and 'o'brien' differ only in case"],
        "not_looked_for": [ODD],
        "left_out": [{"path": f"{ODD}/notes.txt", "reason": "no picture"}],
    }
    (out / "run.json").write_text(json.dumps({"watchlist": watchlist, "runs": [{"watchlist": watchlist}]}))
    (out / "several-faces").mkdir()
    (out / "several-faces" / "brien-12345678.jpg").write_bytes(b"a face")
    return store


def holding(out: Path, *texts: str) -> list[str]:
    """The files, by name or content, that hold a text in any of its forms."""
    forms = {form.encode() for text in texts for form in (text, json.dumps(text)[1:-1])}
    return [p.name for p in out.rglob("*") if any(f in p.name.encode() or (p.is_file() and f in p.read_bytes()) for f in forms)]


def test_a_name_with_quotes_and_umlauts_leaves_no_form_of_itself_behind(tmp_path: Path) -> None:
    named_everywhere(tmp_path).close()
    assert CliRunner().invoke(app, ["watchlist", "remove", "8", "--db", str(tmp_path)]).exit_code == 0
    assert not holding(tmp_path, ODD, "Brien", "brien-")
    watchlist = json.loads((tmp_path / "run.json").read_text())["runs"][0]["watchlist"]
    assert watchlist["refused"][1] == {"name": "B", "photo": "b.jpg", "reason": "x"}
    assert watchlist["not_looked_for"] == ["removed (ID 8)"]


def test_a_former_name_and_a_merged_one_leave_nothing_behind_either(tmp_path: Path) -> None:
    store = named_everywhere(tmp_path)
    content = json.dumps({"camera": "cam", "track": "x-0007", "identity": 8, "name": ODD})
    store.put_alerts([Alert("k", "match", 1e9, "cam", "x-0007", 8, content)], ["webhook"])
    store.close()
    rename = ["watchlist", "update", "8", "--name", "Somebody Renamed", "--db", str(tmp_path)]
    assert CliRunner().invoke(app, rename).exit_code == 0
    assert json.loads((tmp_path / "sightings.jsonl").read_text().splitlines()[0])["name"] == "Somebody Renamed"
    assert CliRunner().invoke(app, ["watchlist", "merge", "8", "9", "--db", str(tmp_path)]).exit_code == 0
    line = json.loads((tmp_path / "sightings.jsonl").read_text().splitlines()[0])
    assert (line["identity"], line["name"]) == (9, "Somebody 008")
    assert CliRunner().invoke(app, ["watchlist", "remove", "9", "--db", str(tmp_path)]).exit_code == 0
    assert not holding(tmp_path, ODD, "Brien", "Renamed", "Somebody 008")


def test_a_removal_that_was_cut_off_can_be_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named_everywhere(tmp_path).close()
    monkeypatch.setattr(Store, "remove_identity", lambda store, identity: 1 / 0)
    CliRunner().invoke(app, ["watchlist", "remove", "8", "--db", str(tmp_path)])
    monkeypatch.undo()
    assert CliRunner().invoke(app, ["watchlist", "remove", "8", "--db", str(tmp_path)]).exit_code == 0
    assert not holding(tmp_path, ODD, "Brien")


def test_a_full_disk_leaves_no_half_written_file_with_names(tmp_path: Path) -> None:
    path = tmp_path / "sightings.jsonl"
    path.write_text('{"name": "Somebody"}\n')

    def full(line: str) -> str:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        map_lines(path, full)
    assert [p.name for p in tmp_path.iterdir() if p.name != ".lines.lock"] == ["sightings.jsonl"]


def summary_of(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "run.json").read_text())["watchlist"])


def test_a_name_within_a_longer_name_is_removed_and_the_longer_one_stays(tmp_path: Path) -> None:
    store = Store(tmp_path / "farsight.db")
    ann = store.add_identity("Ann")
    store.add_identity("Ann Lee")
    store.add_identity("Anna")
    refused = [{"name": name, "photo": f"{name}.jpg", "reason": "no_face"} for name in ("Ann", "Ann Lee", "Anna")]
    (tmp_path / "run.json").write_text(json.dumps({"watchlist": {"refused": refused, "not_looked_for": ["Ann", "Ann Lee"]}}))
    store.close()
    assert CliRunner().invoke(app, ["watchlist", "remove", str(ann), "--db", str(tmp_path)]).exit_code == 0
    summary = summary_of(tmp_path)
    assert [row["name"] for row in summary["refused"]] == ["removed (ID 1)", "Ann Lee", "Anna"]
    assert [row["photo"] for row in summary["refused"]] == ["removed (ID 1)", "Ann Lee.jpg", "Anna.jpg"]
    assert summary["not_looked_for"] == ["removed (ID 1)", "Ann Lee"]


def test_the_name_of_somebody_whose_photos_were_all_refused_can_be_removed(tmp_path: Path) -> None:
    named_everywhere(tmp_path).close()
    summary = json.loads((tmp_path / "run.json").read_text())
    summary["watchlist"]["refused"].append({"name": "Never Enrolled", "photo": "never.jpg", "reason": "no_face"})
    summary["watchlist"]["not_looked_for"].append("Never Enrolled")
    (tmp_path / "run.json").write_text(json.dumps(summary))
    call = CliRunner().invoke
    done = call(app, ["watchlist", "remove", "--name", "Never Enrolled", "--db", str(tmp_path)])
    assert done.exit_code == 0 and done.output == "removed 'Never Enrolled'\n"
    assert not holding(tmp_path, "Never Enrolled", "never.jpg") and not (tmp_path / "report.html").exists()
    assert summary_of(tmp_path)["not_looked_for"] == [ODD, "removed"]
    for words in (["--name", "Never Enrolled"], ["--name", ODD], ["8", "--name", ODD], [], ["--name", "B", "--photo", "3"]):
        refused = call(app, ["watchlist", "remove", *words, "--db", str(tmp_path)])
        assert isinstance(refused.exception, SettingsError) and "\n" not in str(refused.exception), words


def test_a_removal_names_the_videos_that_show_the_name_and_deletes_them_on_request(tmp_path: Path) -> None:
    store = named_everywhere(tmp_path)
    source = store.tracks()[0]["source"]
    store.close()
    (tmp_path / "annotated").mkdir()
    video, other = tmp_path / "annotated" / f"{source}.mp4", tmp_path / "annotated" / "elsewhere.mp4"
    video.write_bytes(b"frames")
    other.write_bytes(b"frames")
    call = CliRunner().invoke
    done = call(app, ["watchlist", "remove", "8", "--db", str(tmp_path)])
    assert done.exit_code == 0 and f"{video}: may still show the name; delete it" in done.output
    assert "elsewhere" not in done.output and video.exists()
    again = call(app, ["watchlist", "remove", "8", "--delete-videos", "--db", str(tmp_path)])
    assert again.exit_code == 0 and again.output == f"deleted {video}\n"
    assert not video.exists() and other.exists()
