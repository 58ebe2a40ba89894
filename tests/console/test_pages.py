"""The pages as a browser gets them, without one: who may see and do what, and what is told."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from tests.console.conftest import Clients
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store


@pytest.fixture
def names(console_out: Path) -> dict[str, dict[str, str]]:
    """Source and track of the conftest's tracks, by outcome."""
    store = Store(console_out / "farsight.db")
    found = {r["outcome"]: {"source": r["source"], "track": r["track"]} for r in store.feed()}
    store.close()
    return found


PAGES = (
    *("/sightings", "/review", "/people", "/search", "/cases", "/people/1", "/review?queue=not_assessable"),
    *("/unknowns", "/cameras", "/runs", "/settings", "/account"),
)


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_every_page_opens(signed_in: Clients, path: str, role: str) -> None:
    answer = signed_in(role).get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    assert (
        "<style" not in answer.text and " onclick" not in answer.text and "<script>" not in answer.text
    )  # the policy forbids them


def test_a_track_shows_its_score_threshold_and_rate(signed_in: Clients, names: dict[str, dict[str, str]]) -> None:
    answer = signed_in("viewer").get("/track", params=names["match"])
    assert answer.status_code == 200 and "Ada" in answer.text and "0.400" in answer.text and "False alarms" in answer.text
    path = signed_in("viewer").get("/track/path", params=names["match"]).json()["boxes"]
    assert path and len(path[0]) == 5


def test_a_rejected_match_is_no_match_in_database_lines_and_export(
    signed_in: Clients, names: dict[str, dict[str, str]], console_out: Path
) -> None:
    line = {**names["match"], "outcome": "match", "identity": 1, "name": "Ada", "reasons": []}
    (console_out / "sightings.jsonl").write_text(json.dumps(line) + "\n" + "torn")
    reviewer = signed_in("reviewer")
    answer = reviewer.post("/review", data={**names["match"], "verdict": "rejected", "note": "not her"}, follow_redirects=False)
    assert answer.status_code == 303, answer.text
    store = Store(console_out / "farsight.db")
    found = store.feed_row(**names["match"])
    assert found is not None and (found["outcome"], found["identity"], found["review"]) == ("no_match", None, "rejected")
    written = (console_out / "sightings.jsonl").read_text().splitlines()
    assert json.loads(written[0])["outcome"] == "no_match" and json.loads(written[0])["name"] is None and written[1] == "torn"
    rows = store.find_tracks([(names["match"]["source"], names["match"]["track"])])
    store.put_tracks([{**row(PATH), **names["match"], "identity": 1, "name": "Ada", "version": 9}])  # the pipeline writes again
    assert rows and store.find_tracks([(rows[0]["source"], rows[0]["track"])])[0]["outcome"] == "no_match"
    audit = store._db.execute("SELECT user, detail FROM audit WHERE what = 'review'").fetchone()
    assert audit["user"] == "reviewer" and json.loads(audit["detail"])["verdict"] == "rejected"
    reviewer.post("/review", data={**names["match"], "verdict": "open"})
    assert store.find_tracks([(rows[0]["source"], rows[0]["track"])])[0]["name"] == "Ada"
    store.close()


def test_a_second_person_confirms_where_the_settings_ask_for_two(
    signed_in: Clients, names: dict[str, dict[str, str]], console_out: Path
) -> None:
    store = Store(console_out / "farsight.db")
    store.set_preferences({"review": {"persons": 2}})
    for role, state in (("reviewer", "second"), ("reviewer", "second"), ("operator", "confirmed")):
        signed_in(role).post("/review", data={**names["match"], "verdict": "confirmed"})
        found = store.feed_row(**names["match"])
        assert found is not None and found["review"] == state
    store.close()


def test_a_viewer_may_not_review_and_nobody_without_the_token(
    signed_in: Clients, names: dict[str, dict[str, str]], console_app: FastAPI
) -> None:
    assert signed_in("viewer").post("/review", data={**names["match"], "verdict": "rejected"}).status_code == 403
    forged = signed_in("admin")
    del forged.headers["x-csrf-token"]
    assert forged.post("/review", data={**names["match"], "verdict": "rejected"}).status_code == 403


def test_who_sees_one_camera_sees_no_track_of_another(
    signed_in: Clients, names: dict[str, dict[str, str]], console_out: Path
) -> None:
    store = Store(console_out / "farsight.db")
    account = store.find_account("reviewer")
    assert account is not None
    store.change_account(account.id, cameras=["yard"])
    store.close()
    client = signed_in("reviewer")
    assert "Ada" not in client.get("/sightings").text
    for path in ("/track", "/shot", "/track/path", "/track/nearest", "/recording"):
        assert client.get(path, params=names["match"]).status_code == 404, path
    assert client.post("/review", data={**names["match"], "verdict": "rejected"}).status_code == 404
    assert client.get("/track", params=names["not_assessable"]).status_code == 200


def test_a_case_holds_tracks_of_several_sources_with_notes_and_becomes_a_zip(
    signed_in: Clients, names: dict[str, dict[str, str]]
) -> None:
    client = signed_in("operator")
    keys = [f"{n['source']}/{n['track']}" for n in (names["match"], names["not_assessable"])]
    answer = client.post("/cases", data={"name": "Fall שלום 🕵 <b>", "note": "x"}, follow_redirects=False)
    number = answer.headers["location"].partition("?")[0].rpartition("/")[2]
    assert client.post("/cases/add", data={"case": number, "track": keys}).status_code == 200
    client.post(f"/cases/{number}", data={"action": "track-note", "track": keys[0], "note": "the red coat"})
    page = client.get(f"/cases/{number}").text
    assert "the red coat" in page and "Fall שלום 🕵 &lt;b&gt;" in page and "2 tracks" in page
    assert "the red coat" in client.get(f"/cases/{number}/print").text
    packed = client.get(f"/cases/{number}/zip")
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        case = json.loads(archive.read("case.json"))
    assert len(case["tracks"]) == 2 and case["case"]["notes"] == {keys[0]: "the red coat"}
    client.post(f"/cases/{number}", data={"action": "close"})
    refused = client.post("/cases/add", data={"case": number, "track": keys})
    assert refused.status_code == 422 and "closed" in refused.text
    assert signed_in("viewer").get(f"/cases/{number}/zip").status_code == 403


def test_people_are_found_by_part_of_a_name_and_changed_by_one_at_a_time(signed_in: Clients, console_out: Path) -> None:
    client = signed_in("operator")
    assert "Ada" in client.get("/people", params={"q": "aD"}).text and "Bo" not in client.get("/people", params={"q": "aD"}).text
    store = Store(console_out / "farsight.db")
    version = store.identity_version(1)
    form = {"action": "save", "name": "Ada <script>", "purpose": "test", "version": version}
    assert client.post("/people/1", data=form).status_code == 200
    assert "Ada &lt;script&gt;" in client.get("/people/1").text
    late = client.post("/people/1", data=form | {"name": "Other"})
    assert late.status_code == 409 and "somebody else" in late.text.lower()
    assert client.post("/people/1", data=form | {"version": version + 1, "expires": "soon"}).status_code == 422
    client.post("/people/1", data={"action": "disable"})
    assert "disabled" in client.get("/people/1").text
    client.post("/people/2", data={"action": "remove"})
    assert client.get("/people/2").status_code == 404 and store.identity(2) is None
    store.close()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/sightings?outcome=odd", 422),
        ("/sightings?since=yesterday", 422),
        ("/sightings?after=nonsense", 422),
        ("/sightings?least_px=nan", 422),
        ("/review?queue=odd", 422),
        ("/people?state=odd", 422),
        ("/people/99999999999999999999", 404),
        ("/cases/99999999999999999999", 404),
        ("/search?identity=7777", 404),
        ("/search?source=odd&identity=1", 422),
        ("/shot?source=..&track=../../etc/passwd", 404),
        ("/track?source=x&track=none", 404),
    ],
)
def test_what_is_not_allowed_is_told_on_a_page(signed_in: Clients, path: str, status: int) -> None:
    answer = signed_in("admin").get(path, headers={"accept": "text/html"})
    assert answer.status_code == status and "data-error" in answer.text and "Traceback" not in answer.text


def test_without_accounts_forms_are_hidden_and_a_line_tells_how_to_make_one(tmp_path: Path) -> None:
    from console.app import make_app

    store = Store(tmp_path / "farsight.db")
    store.put_tracks([row(PATH)])
    store.close()
    client = TestClient(make_app(tmp_path / "farsight.db"), "http://localhost")
    for path in ("/sightings", "/review", "/people", "/cases", "/search", "/unknowns", "/cameras", "/runs", "/settings"):
        page = client.get(path).text
        assert "farsight user add" in page and 'method="post"' not in page, path


def test_a_zip_that_leads_out_of_its_folder_is_refused(signed_in: Clients) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("../../evil.jpg", b"x")
    answer = signed_in("operator").post("/people/import", files={"files": ("a.zip", content.getvalue())})
    assert answer.status_code == 422 and "leads out" in answer.text


def test_a_csv_reads_no_files_of_the_server(signed_in: Clients, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"x")
    csv = f"name,image\nAda,{secret}\nBo,../../secret.png\n"
    answer = signed_in("operator").post("/people/import", files={"files": ("a.csv", csv.encode())})
    page = answer.text
    assert "not among the uploaded files" in page or "left out" in page, page
    assert "enrolled</span>" not in page


def test_grouping_is_off_unless_an_admin_asks_for_it_and_ignored_groups_stay_away(signed_in: Clients, console_out: Path) -> None:
    import numpy as np

    from models import recognizer_card

    rng, digest = np.random.default_rng(3), recognizer_card(None)["sha256"]
    one, two = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 512)))
    store = Store(console_out / "farsight.db")
    for number, vector in enumerate((one, one + 0.01 * rng.normal(size=512), two)):
        track = row(PATH, "no_match") | {"track": f"u-{number}", "name": None, "quality": 0.9, "face_px": 60.0}
        store.put_tracks([track | {"template": vector.astype(np.float16).tobytes(), "recognizer": digest}])
    store._db.execute("UPDATE tracks SET template = NULL WHERE track NOT LIKE 'u-%'")
    store.close()
    assert "Grouping is off" in signed_in("viewer").get("/unknowns").text
    assert signed_in("operator").post("/unknowns/switch", data={"on": "on"}).status_code == 403
    signed_in("admin").post("/unknowns/switch", data={"on": "on"})
    page = signed_in("operator").get("/unknowns").text
    assert "Seen 2 times" in page and "u-0" in page and "u-2" not in page
    source = row(PATH)["source"]
    signed_in("operator").post("/unknowns/ignore", data={"track": [f"{source}/u-0", f"{source}/u-1"]})
    assert "Seen 2 times" not in signed_in("operator").get("/unknowns").text
    assert "Seen 2 times" in signed_in("operator").get("/unknowns?ignored=true").text


def test_settings_tell_what_a_rate_means_and_what_a_purge_would_delete(signed_in: Clients, console_out: Path) -> None:
    import time

    store, now = Store(console_out / "farsight.db"), time.time()
    old = {"started_at": now - 6 * 86_400, "ended_at": now - 6 * 86_400 + 5}
    store.put_tracks([row(PATH, "no_match") | {"track": f"o-{n}", "name": None} | old for n in range(60)])
    store.close()
    admin = signed_in("admin")
    assert "passers-by a day" in admin.get("/settings").text
    admin.post("/settings", data={"part": "retention", "no_match": "5"})
    assert ">60</b> tracks without a match" in admin.get("/settings").text
    assert "60 tracks" in admin.post("/settings/purge").text
    for form in ({"part": "rate", "fpir": "2"}, {"part": "dates", "time_zone": "Mars/Base"}, {"part": "odd"}):
        assert admin.post("/settings", data=form).status_code == 422
    assert signed_in("operator").post("/settings", data={"part": "rate", "fpir": "0.01"}).status_code == 403


def test_a_camera_is_added_and_changed_without_its_password_ever_being_shown(signed_in: Clients, console_out: Path) -> None:
    config = console_out / "live.yaml"
    config.write_text(
        "# our cameras\ncameras:\n  - {name: gate, url: 'rtsp://u:secret@192.0.2.1/s'}\n\n"
        "# the list\nwatchlist: people\nout: out\n"
    )
    (console_out / "status.json").write_text(
        json.dumps({"command": "live", "config": str(config), "running": False, "sources": []})
    )
    admin = signed_in("admin")
    page = admin.get("/cameras").text + admin.get("/cameras/edit?name=gate").text
    assert "gate" in page and "secret" not in page and "***@192.0.2.1" in page
    admin.post("/cameras", data={"name": "yard", "url": "rtsp://a:b@192.0.2.2/s"})
    admin.post("/cameras", data={"name": "door", "url": "", "before": "gate", "transport": "udp"})
    text = config.read_text()
    assert "# our cameras" in text and "# the list" in text and "rtsp://u:secret@192.0.2.1/s" in text and "door" in text
    assert admin.post("/cameras", data={"name": "yard", "url": "rtsp://x/"}).status_code == 409
    assert admin.post("/cameras", data={"name": "a b/c", "url": "rtsp://x/"}).status_code == 422
    admin.post("/cameras/remove", data={"name": "yard"})
    assert admin.post("/cameras/remove", data={"name": "door"}).status_code == 409  # the last one
    assert signed_in("operator").post("/cameras", data={"name": "x", "url": "rtsp://x/"}).status_code == 403
    refused = admin.post("/cameras/test", data={"url": "file:///etc/passwd"}).text
    assert "Not connected" in refused and "root:" not in refused


def test_a_run_that_cannot_start_says_why(signed_in: Clients, console_out: Path) -> None:
    operator = signed_in("operator")
    assert operator.post("/runs", data={"source": "/no/such/file.mp4"}).status_code == 422
    refused = operator.post("/runs", data={}, files={"upload": ("evil.sh", b"#!/bin/sh")})
    assert refused.status_code == 422 and "must be one of" in refused.text
    assert operator.post("/runs", data={"source": str(console_out)}).status_code == 409  # started by no `serve`
    assert operator.get("/runs/none").status_code == 404


def test_users_are_made_changed_and_removed_by_admins_alone(signed_in: Clients, console_out: Path) -> None:
    admin = signed_in("admin")
    assert signed_in("operator").get("/users").status_code == 403
    assert admin.post("/users", data={"name": "eve <b>", "role": "viewer", "password": "short"}).status_code == 422
    assert "eve &lt;b&gt;" in admin.post("/users", data={"name": "eve <b>", "role": "viewer", "password": "long enough 1"}).text
    store = Store(console_out / "farsight.db")
    eve = store.find_account("eve <b>")
    assert eve is not None
    admin.post(f"/users/{eve.id}", data={"action": "save", "role": "reviewer", "cameras": ["yard"]})
    changed = store.account(eve.id)
    assert changed is not None and (changed.role, changed.cameras) == ("reviewer", ("yard",))
    shown = admin.post(f"/users/{eve.id}", data={"action": "token", "label": "t"})
    assert "shown this once" in shown.text and len(store.tokens(eve.id)) == 1
    admin.post(f"/users/{eve.id}", data={"action": "remove"})
    assert store.find_account("eve <b>") is None
    assert "is intact" in admin.get("/audit").text
    store.close()


def test_calibration_with_too_little_footage_changes_nothing_and_says_why(signed_in: Clients, console_out: Path) -> None:
    admin = signed_in("admin")
    answer = admin.post("/settings/calibrate", data={"source": "cam", "sure": "on", "action": "fit"})
    assert answer.status_code == 422 and "photos of this recogniser; both are needed" in answer.text
    assert Store(console_out / "farsight.db").calibration_made() is None
