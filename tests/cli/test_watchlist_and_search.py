"""The commands that only need the database, called in this process."""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cli import app
from cli.common import CONFIGS
from cli.run_watchlist import load_watchlist
from cli.settings import load_settings
from models import load_recognizer, recognizer_card
from models.weights_io import digest
from pipeline.errors import SettingsError
from tests.models.backends.test_onnx_recognizer import Foreign, written
from tests.watchlist.test_search_back import put
from watchlist.enrolment import encode_chip
from watchlist.store import Store

DIGEST = recognizer_card()["sha256"]
RNG = np.random.default_rng(5)
SEEN = RNG.standard_normal((6, 256)).astype(np.float32)
SEEN /= np.linalg.norm(SEEN, axis=1, keepdims=True)
MORNING = datetime(2026, 11, 1, 8, 0).timestamp()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Six tracks an hour apart, the last two of a recording of unknown hour; the person of the first is enrolled."""
    store = Store(tmp_path / "farsight.db")
    for n in range(6):
        hour = (
            {"started_at": MORNING + 3600 * n, "ended_at": MORNING + 3600 * n + 5}
            if n < 4
            else {"started_at": None, "ended_at": None}
        )
        put(
            store,
            range(n, n + 1),
            template=SEEN[n].astype(np.float16).tobytes(),
            recognizer=DIGEST,
            outcome="no_match",
            crop=None,
            restored=None,
            **hour,
        )
    store.add_enrolment(store.add_identity("Ada"), "a.png", "1", b"chip", SEEN[0], DIGEST, 0.9, 80.0)
    store.close()
    return tmp_path


def call(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def tracks(out: Path, *arguments: object) -> list[str]:
    return [hit["track"] for hit in json.loads(call("search", "--db", out, "--json", *arguments))]


def test_search_by_track_and_identity(out: Path) -> None:
    assert tracks(out, "--identity", 1)[0] == "t000" and tracks(out, "--track", "cam2/t005")[0] == "t005"
    found = json.loads(call("search", "--db", out, "--json", "--identity", 1, "--top", 1))[0]
    assert found["outcome"] == "match" and found["at"].startswith("2026-11-01T08:00:00")


def test_search_by_time_and_camera(out: Path) -> None:
    assert set(tracks(out, "--identity", 1, "--since", "2026-11-01T09:30")) == {"t002", "t003"}
    assert set(tracks(out, "--identity", 1, "--since", "2026-11-01", "--until", "2026-11-01T09:30")) == {"t000", "t001"}
    for day in ("2026-11-01", "20261101"):
        assert set(tracks(out, "--identity", 1, "--since", day, "--until", day)) == {"t000", "t001", "t002", "t003"}
    assert set(tracks(out, "--identity", 1, "--since", 4.5)) == {"t004", "t005"}  # PTS seconds
    assert set(tracks(out, "--identity", 1, "--camera", "cam0")) == {"t000", "t003"}
    assert set(tracks(out, "--identity", 1, "--least-px", 14.5)) == {"t005"}
    assert "2 tracks of recordings were left out" in call("search", "--db", out, "--identity", 1, "--since", "2026-11-01")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "search for one of"),
        (("--identity", 1, "--track", "a/b"), "search for one of"),
        (("--identity", 9), "nobody on the list"),
        (("--track", "cam0/none"), "no such track"),
        (("--identity", 1, "--since", "yesterday"), "--since yesterday: must be a time"),
    ],
)
def test_wrong_questions_are_told(out: Path, arguments: tuple, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        call("search", "--db", out, *arguments)


@pytest.mark.parametrize(("disable", "enable"), [("disable", "enable"), ("set-aside", "restore")])  # the second: former names
def test_a_person_or_a_photo_is_changed_disabled_and_enabled(out: Path, disable: str, enable: str) -> None:
    call("watchlist", "update", 1, "--db", out, "--name", "Ida", "--expires", "2099-01-01", "--purpose", "missing")
    call("watchlist", disable, 1, "--db", out)
    listed = json.loads(call("watchlist", "list", "--db", out, "--json"))[0]
    assert (listed["name"], listed["expires"], listed["purpose"]) == ("Ida", "2099-01-01", "missing") and listed["set_aside"]
    call("watchlist", enable, 1, "--db", out)
    photo = json.loads(call("watchlist", "photos", 1, "--db", out, "--json"))[0]["id"]
    call("watchlist", disable, 1, "--photo", photo, "--db", out)
    assert "disabled" in call("watchlist", "photos", 1, "--db", out)
    for wrong, why in (
        ((disable, 1, "--photo", photo), "nothing to disable; it is not on the list, or is disabled already"),
        (("update", 1, "--expires", "soon"), "must be a date"),
        (("update", 7, "--name", "x"), "nobody on the list"),
        (("update", 1), "nothing to change"),
    ):
        with pytest.raises(SettingsError, match=why):
            call("watchlist", *wrong, "--db", out)


def test_a_copied_list_is_changed_where_it_comes_from(out: Path, tmp_path: Path) -> None:
    people, store = Store(tmp_path / "people.db"), Store(out / "farsight.db")
    people.add_enrolment(people.add_identity("Ada"), "a.png", "1", b"chip", SEEN[0], DIGEST, 0.9, 80.0)
    store.copy_watchlist(people)
    for change in (("remove", 1), ("disable", 1), ("update", 1, "--name", "x"), ("reembed",), ("calibrate", "--reset")):
        with pytest.raises(SettingsError, match=r"a copy of .*people\.db, which would undo the change"):
            call("watchlist", *change, "--db", out)
    assert "Ada" in call("watchlist", "list", "--db", out) and "fpir" in call("watchlist", "calibrate", "--db", out)


def test_what_cannot_be_judged_is_not_called_a_match(out: Path) -> None:
    store = Store(out / "farsight.db")
    store._db.execute("UPDATE tracks SET outcome = 'not_assessable' WHERE track = 't000'")
    found = json.loads(call("search", "--db", out, "--json", "--identity", 1, "--top", 1))[0]
    assert found["score"] > found["threshold"] and found["outcome"] == "not_assessable"


def test_purge_and_export(out: Path, tmp_path: Path) -> None:
    told = call("export", tmp_path / "case.zip", "--db", out, "--track", "cam0/t000", "--track", "cam1/t001")
    assert "2 tracks" in " ".join(told.split())
    with pytest.raises(SettingsError, match="cam9/x: no such track"):
        call("export", tmp_path / "case.zip", "--db", out, "--track", "cam9/x")
    with pytest.raises(SettingsError, match="say how many days"):
        call("purge", "--db", out)
    proof = json.loads(call("purge", "--db", out, "--no-match", 0, "--json"))
    assert proof["tracks"] == 4 and proof["left"] == [] and set(tracks(out, "--identity", 1)) == {"t004", "t005"}


def test_thresholds_are_fitted_to_footage_and_reset(out: Path, tmp_path: Path) -> None:
    footage = Store(tmp_path / "footage" / "farsight.db")
    strangers = RNG.standard_normal((1200, 256)).astype(np.float16)
    strangers /= np.linalg.norm(strangers.astype(np.float32), axis=1, keepdims=True).astype(np.float16)
    for n in range(0, 1200, 300):
        for k in range(n, n + 300):
            put(
                footage,
                range(k % 300, k % 300 + 1),
                template=strangers[k].tobytes(),
                recognizer=DIGEST,
                track=f"x{k}",
                face_px=30.0,
            )
    footage.close()
    before = call("watchlist", "calibrate", "--db", out)
    fitted = call("watchlist", "calibrate", "--db", out, "--strangers", tmp_path / "footage")
    assert "1200 strangers, whose highest scores lie" in fitted and "the thresholds follow them" in fitted
    assert "0 strangers: the card is kept, 30 strangers are needed" in fitted and "fitted to your footage" in fitted
    assert call("watchlist", "calibrate", "--db", out, "--reset") == before
    with pytest.raises(SettingsError, match="give no better thresholds than those that are there; nothing was changed"):
        call("watchlist", "calibrate", "--db", out, "--strangers", out)


def test_who_is_taken_out_of_the_folder_is_said(corridor: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = tmp_path / "people", Store(tmp_path / "farsight.db")
    shutil.copytree(corridor / "people", folder)
    settings = load_settings(CONFIGS / "recording.yaml")
    load_watchlist(store, folder, settings)
    gone, stays = sorted(store.identities(), key=lambda p: p.name)
    store.set_enabled(stays.id, False, store.enrolments(stays.id)[0].id)
    (folder / gone.name).rename(tmp_path / gone.name)
    load_watchlist(store, folder, settings)
    assert f"{gone.name} is not in" in " ".join(capsys.readouterr().out.split())
    assert [p.photos for p in sorted(store.identities(), key=lambda p: p.name)] == [1, 0]  # what was set aside stays so


def test_the_vectors_of_another_recogniser(tmp_path: Path, chips: np.ndarray) -> None:
    """They are made, searched and calibrated by naming it, and never compared with others."""
    network = written(Foreign(), tmp_path / "foreign.onnx")
    store = Store(tmp_path / "farsight.db")
    store.add_enrolment(store.add_identity("Ada"), "a.png", "1", encode_chip(chips[0]), SEEN[0], DIGEST, 0.9, 80.0)
    vector = load_recognizer(network).embed(chips[:1])[0]
    put(store, range(1), template=vector.astype(np.float16).tobytes(), recognizer=digest(network), outcome="no_match", crop=None)
    store.close()
    named = ("--db", tmp_path, "--recognizer", network)
    with pytest.raises(SettingsError, match="no impostor scores, so it has no threshold; measure them"):
        call("watchlist", "reembed", *named)
    network.with_suffix(".json").write_text(json.dumps(recognizer_card() | {"sha256": digest(network)}))
    with pytest.raises(SettingsError, match="vectors were made by another recogniser: name it with --recognizer"):
        call("search", "--identity", 1, *named)
    assert "1 photos embedded" in call("watchlist", "reembed", *named)
    assert json.loads(call("search", "--identity", 1, "--json", *named))[0]["score"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(SettingsError, match="another recogniser"):
        call("search", "--identity", 1, "--db", tmp_path)
    with pytest.raises(SettingsError, match=r"enrolled with another recogniser .*: name it with --recognizer"):
        call("watchlist", "calibrate", "--db", tmp_path)
    assert "as they came with the recogniser" in call("watchlist", "calibrate", *named)
