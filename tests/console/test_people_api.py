"""The people on the list through the API: changes, photos, imports, and what attackers upload."""

from __future__ import annotations

import io
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from console.photo_desk import PhotoDesk
from models import recognizer_card
from models.faces import Faces
from tests.console.conftest import Clients
from watchlist.enrolment import Gate
from watchlist.store import Store

RNG = np.random.default_rng(1)


class Detector:
    """Finds as many faces as the picture's red says: the widest first."""

    def detect(self, frames: list[Any]) -> list[Faces]:
        found = []
        for frame in frames:
            count = round(float(frame[frame.shape[0] // 2, frame.shape[1] // 2, 0]) / 50)
            side = frame.shape[0] / 4
            boxes = np.array(
                [[10 + n * side, 10, 10 + n * side + 0.9 * side, 10 + side] for n in range(count)], np.float32
            ).reshape(-1, 4)
            points = boxes[:, None, :2] + (boxes[:, None, 2:] - boxes[:, None, :2]) * np.array(
                [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32
            )
            found.append(Faces(boxes, points.astype(np.float32), np.full(count, 0.95, np.float32)))
        return found


class Recognizer:
    digest = "r"

    def embed_with_quality(self, chips: Any) -> tuple[Any, Any]:
        vectors = RNG.standard_normal((len(chips), 16)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.full(len(chips), 0.9, np.float32)


def photo(faces: int, kind: str = "PNG") -> bytes:
    pixels = RNG.integers(0, 20, (400, 400, 3)).astype(np.uint8)
    pixels[..., 0] = 50 * faces
    pixels[::2, :, 1] = 200
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def desk(console_app: FastAPI) -> PhotoDesk:
    """The desk, with networks that know pictures of these tests."""
    made = console_app.state.desk = PhotoDesk(console_app.state.console)
    made._gates = {allowed: Gate(Detector(), Recognizer()) for allowed in (False, True)}
    made.digest, made.card = "r", {"sha256": "r", "impostors": recognizer_card(None)["impostors"]}
    return made


def test_a_person_is_enrolled_and_every_photo_has_a_verdict(signed_in: Clients, console_out: Path) -> None:
    client = signed_in("operator")
    files = [
        ("photos", ("a.png", photo(1))),
        ("photos", ("none.png", photo(0))),
        ("photos", ("broken.jpg", b"\xff\xd8\xff broken")),
    ]
    found = client.post("/api/v1/people", data={"name": "Zoë 😀 عمر", "purpose": "court"}, files=files)
    assert found.status_code == 200, found.text
    verdicts = found.json()["verdicts"]
    told = {v["photo"]: v["reason"].partition(":")[0] for v in verdicts}
    assert told == {"a.png": "", "none.png": "no_face", "broken.jpg": "unreadable"} and verdicts[0]["enrolled"]
    person = client.get(f"/api/v1/people/{verdicts[0]['identity']}").json()
    assert person["name"] == "Zoë 😀 عمر" and person["photo_list"][0]["photo"] == "a.png" and person["purpose"] == "court"
    assert client.get(person["picture"]).headers["content-type"] == "image/jpeg"
    newest = Store(console_out / "farsight.db").audit_rows(1)[0]
    assert newest["what"] == "enrol" and newest["user"] == "operator"


def test_of_several_faces_one_is_chosen(signed_in: Clients) -> None:
    client, picture = signed_in("operator"), photo(2)
    asked = client.post("/api/v1/people", data={"name": "Cy"}, files=[("photos", ("two.png", picture))]).json()["verdicts"][0]
    assert (
        not asked["enrolled"] and asked["reason"].startswith("several_faces") and [f["number"] for f in asked["faces"]] == [1, 2]
    )
    assert asked["size"] == [400, 400]
    done = client.post("/api/v1/people", data={"name": "Cy", "face": 2}, files=[("photos", ("two.png", picture))]).json()
    assert done["verdicts"][0]["enrolled"]


def test_people_are_found_by_a_part_of_their_name_a_page_at_a_time(signed_in: Clients) -> None:
    client = signed_in("viewer")
    assert [p["name"] for p in client.get("/api/v1/people?q=AD").json()["items"]] == ["Ada"]
    first = client.get("/api/v1/people?limit=1").json()
    assert [p["name"] for p in client.get(f"/api/v1/people?limit=1&after={first['next']}").json()["items"]] == ["Bo"]
    assert client.get("/api/v1/people/999").status_code == 404 and client.get(f"/api/v1/people/{'9' * 30}").status_code == 422


def test_of_two_people_who_edit_the_same_person_the_later_is_told(signed_in: Clients) -> None:
    client = signed_in("operator")
    version = client.get("/api/v1/people/1").json()["version"]
    assert client.patch("/api/v1/people/1", json={"name": "Ada L.", "version": version}).json()["name"] == "Ada L."
    late = client.patch("/api/v1/people/1", json={"name": "Eve", "version": version})
    assert late.status_code == 409 and client.get("/api/v1/people/1").json()["name"] == "Ada L."
    off = client.patch("/api/v1/people/1", json={"enabled": False}).json()
    assert off["enabled"] is False and off["version"] > version


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "\u202eevil"},
        {"expires": "tomorrow"},
        {"external_id": "a\tb"},
        {"name": "x" * 501},
    ],
)
def test_names_and_dates_that_the_list_cannot_hold_are_refused(signed_in: Clients, change: dict[str, str]) -> None:
    assert signed_in("operator").patch("/api/v1/people/1", json=change).status_code == 422


def test_markup_in_a_name_stays_text(signed_in: Clients) -> None:
    client = signed_in("operator")
    name = "<img src=x onerror=alert(1)>"
    assert client.patch("/api/v1/people/1", json={"name": name}).json()["name"] == name
    assert "<img src=x" not in client.get("/").text


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_not_change_the_list_cannot(signed_in: Clients, role: str) -> None:
    client = signed_in(role)
    files = [("photos", ("a.png", photo(1)))]
    for answer in (
        client.post("/api/v1/people", data={"name": "Cy"}, files=files),
        client.post("/api/v1/people/1/photos", files=files),
        client.post("/api/v1/people/import", files=[("files", ("a.zip", b"x"))]),
        client.patch("/api/v1/people/1", json={"name": "Eve"}),
        client.delete("/api/v1/people/1"),
        client.post("/api/v1/people/1/merge/2"),
    ):
        assert answer.status_code == 403


def test_a_removed_person_is_gone(signed_in: Clients) -> None:
    client = signed_in("operator")
    assert client.delete("/api/v1/people/2").json()["videos"] == [] and client.get("/api/v1/people/2").status_code == 404
    assert client.delete("/api/v1/people/2").status_code == 404


def test_a_list_that_follows_another_one_is_not_changed_here(signed_in: Clients, console_out: Path) -> None:
    Store(console_out / "farsight.db")._db.execute("UPDATE generation SET copied_from = '/elsewhere/people.db'")
    answer = signed_in("operator").patch("/api/v1/people/1", json={"name": "Eve"})
    assert answer.status_code == 409 and "/elsewhere/people.db" in answer.json()["detail"]


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def imported(client: TestClient, files: list[Any]) -> list[dict[str, Any]]:
    """The verdicts of an import, when it has ended."""
    begun = client.post("/api/v1/people/import", files=files)
    assert begun.status_code == 202, begun.text
    for _ in range(1200):
        found = client.get(f"/api/v1/people/import/{begun.json()['token']}").json()
        if found["ended"]:
            assert found["fault"] == ""
            return list(found["verdicts"])
        time.sleep(0.05)
    raise AssertionError("it does not end")


def test_a_zip_is_imported_with_a_verdict_for_every_photo(signed_in: Clients) -> None:
    packed = zipped(
        **{"list/Dora/1.png": photo(1), "list/Dora/2.png": photo(0), "list/Emil/1.png": photo(1), "list/notes.txt": b"x"}
    )
    found = imported(signed_in("operator"), [("files", ("people.zip", packed))])
    told = {(v["name"], v["photo"].rpartition("/")[2]): v["reason"] for v in found}
    assert told["Dora", "1.png"] == told["Emil", "1.png"] == "" and told["Dora", "2.png"] == "no_face"
    assert told[None, "notes.txt"].startswith("left_out") and "/tmp" not in json.dumps(found)


def test_a_csv_of_ten_thousand_rows_is_answered_row_by_row(signed_in: Clients) -> None:
    rows = "".join(f"Person {n},missing-{n}.jpg\n" for n in range(10_000))
    files = [("files", ("people.csv", f"name,image\nDora,d.png\n{rows}".encode())), ("files", ("d.png", photo(1)))]
    found = imported(signed_in("operator"), files)
    assert len(found) == 10_001 and [v["name"] for v in found if v["enrolled"]] == ["Dora"]
    assert all(v["reason"].startswith("left_out: ") for v in found if not v["enrolled"])


@pytest.mark.parametrize(
    "packed",
    [
        zipped(**{"../../evil.png": b"x"}),
        zipped(**{"/etc/evil.png": b"x"}),
        zipped(**{"a\\..\\..\\evil.png": b"x"}),
        b"PK\x05\x06" + b"\0" * 18,
        b"no zip at all",
        zipped(**{"A/1.png": photo(1)})[:-40],
    ],
)
def test_a_zip_that_leads_out_of_itself_or_is_none_is_refused(signed_in: Clients, packed: bytes) -> None:
    answer = signed_in("operator").post("/api/v1/people/import", files=[("files", ("people.zip", packed))])
    assert answer.status_code == 422 and "root:" not in answer.text and answer.json()["detail"]


def test_a_csv_reads_no_file_of_the_server(signed_in: Clients) -> None:
    packed = zipped(**{"people.csv": b"name,image\nRoot,/etc/passwd\nUp,../../../../etc/passwd\n"})
    found = imported(signed_in("operator"), [("files", ("people.zip", packed))])
    assert [v["reason"] for v in found] == ["left_out: is not among the uploaded files"] * 2


def test_a_name_of_an_uploaded_file_leads_nowhere(signed_in: Clients) -> None:
    for name in ("../../../../tmp/evil.png", "..", "a\\b\\..\\evil.png", "x" * 3000 + ".png", "\u202egnp.exe", "/etc/passwd"):
        answer = signed_in("operator").post("/api/v1/people/1/photos", files=[("photos", (name, photo(0)))])
        assert answer.status_code == 200 and not answer.json()["verdicts"][0]["enrolled"]
        assert "/" not in answer.json()["verdicts"][0]["photo"] and len(answer.json()["verdicts"][0]["photo"]) <= 200


def test_past_tracks_are_searched_by_photo_within_what_the_user_may_see(signed_in: Clients, console_out: Path) -> None:
    store = Store(console_out / "farsight.db")
    template = np.eye(16, dtype=np.float16)[0].tobytes()
    store._db.execute("UPDATE tracks SET recognizer = 'r', template = ?", (template,))
    client = signed_in("reviewer")
    found = client.post("/api/v1/search/photo?top=5", files={"photo": ("a.png", photo(1))}).json()
    assert {hit["track"] for hit in found["hits"]} == {"x-0007", "y-0001", "z-0001"} and found["compared"] == 3
    chosen = client.post("/api/v1/search/photo", files={"photo": ("a.png", photo(2))}).json()
    assert chosen["refused"].startswith("several_faces") and len(chosen["faces"]) == 2
    log = store.audit_rows(1)[0]
    assert log["what"] == "search" and log["user"] == "reviewer" and len(log["detail"]["embedding_sha256"]) == 64
    assert log["detail"]["tracks_compared"] == 3 and {"database", "recognizer", "matches"} <= log["detail"].keys()
    store.change_account(2, cameras=["yard"])
    again = client.post("/api/v1/search/track/yard/z-0001").json()
    assert [hit["track"] for hit in again["hits"]] == ["z-0001"]
    assert client.post("/api/v1/search/track/cam/x-0007").status_code == 404
    assert signed_in("viewer").post("/api/v1/search/person/1").status_code == 403


def test_the_page_tells_why_a_photo_of_the_browser_was_refused(signed_in: Clients) -> None:
    client = signed_in("operator")
    assert client.post("/people/photos", files=[("photos", ("two.png", photo(2)))]).status_code == 200
    token = client.app.state.desk.add("operator", "two.png", photo(2)).token  # type: ignore[attr-defined]
    refused = client.post("/people", data={"name": "Cy", "token": token, f"face-{token}": "9"})
    assert refused.status_code == 422 and "there is no such face" in refused.text
