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


PAGES = ("/sightings", "/review", "/people", "/search", "/cases", "/people/1", "/review?queue=not_assessable")


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
    for path in ("/sightings", "/review", "/people", "/cases"):
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
