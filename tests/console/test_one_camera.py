"""Who may see one camera learns nothing of the others: no run, no track of a case, no count."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from tests.console.conftest import Clients
from watchlist.store import Store


@pytest.fixture
def one_camera(console_out: Path, signed_in: Clients) -> TestClient:
    """An operator who sees the camera yard alone. The case 1 holds a track of it and one of the camera cam, with notes."""
    store = Store(console_out / "farsight.db")
    account = store.find_account("operator")
    assert account is not None
    store.change_account(account.id, cameras=["yard"])
    case = store.add_case("Both")
    store.add_to_case(case, [("yard", "z-0001")], "the yard")
    store.add_to_case(case, [("cam", "x-0007")], "the red coat")
    store.close()
    return signed_in("operator")


def test_who_sees_one_camera_sees_no_run(one_camera: TestClient) -> None:
    for path in ("/runs", "/runs/any", "/api/v1/runs", "/report"):
        assert one_camera.get(path).status_code == 403, path
    for path in ("/runs", "/runs/any", "/api/v1/recordings"):
        sent = {"action": "stop", "source": "/nothing"}
        assert one_camera.post(path, data=sent, files={"file": ("a.mp4", b"x")}).status_code == 403, path
    assert 'href="/runs"' not in one_camera.get("/sightings").text


def test_who_sees_one_camera_learns_nothing_of_other_tracks_of_a_case(one_camera: TestClient) -> None:
    assert one_camera.get("/api/v1/cases").json()[0]["tracks"] == 1 == one_camera.get("/api/v1/cases/1").json()["tracks"]
    for path in ("/cases", "/cases/1", "/cases/1/print"):
        text = one_camera.get(path).text
        assert "2 track" not in text and "1 further" not in text and "red coat" not in text, path
    with zipfile.ZipFile(io.BytesIO(one_camera.get("/cases/1/zip").content)) as archive:
        assert json.loads(archive.read("case.json"))["case"]["notes"] == {"yard/z-0001": "the yard"}


def test_who_sees_one_camera_deletes_no_case_with_tracks_of_others(one_camera: TestClient) -> None:
    assert one_camera.delete("/api/v1/cases/1").status_code == 403
    assert one_camera.post("/cases/1", data={"action": "delete"}).status_code == 403
    own = one_camera.post("/api/v1/cases", json={"name": "Mine"}).json()["id"]
    assert one_camera.delete(f"/api/v1/cases/{own}").status_code == 204


def test_who_sees_one_camera_is_told_no_count_of_others(one_camera: TestClient, signed_in: Clients, console_out: Path) -> None:
    store = Store(console_out / "farsight.db")
    store._db.execute("UPDATE tracks SET started_at = unixepoch() - 7200, ended_at = unixepoch() - 7100 WHERE source = 'cam'")
    store.set_preferences({"retention": {"match": 0.01}})
    store.close()
    all_of_it, some = signed_in("admin"), one_camera
    rate = "/api/v1/settings/rate?fpir=0.01"
    assert all_of_it.get(rate).json()["tracks_a_day"] > 0 == some.get(rate).json()["tracks_a_day"]
    assert "delete <b" in all_of_it.get("/settings").text
    assert '<b class="number">0</b> matches' in some.get("/settings").text


def test_a_page_goes_on_after_no_track_of_a_camera_that_is_kept_from_one(one_camera: TestClient) -> None:
    for path in ("/api/v1/tracks?", "/api/sightings?", "/tracks?outcome=match&"):
        hidden = one_camera.get(f"{path}after=cam/x-0007")
        none = one_camera.get(f"{path}after=cam/x-0008")
        assert hidden.status_code == none.status_code == 404, path
