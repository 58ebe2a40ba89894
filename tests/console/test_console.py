import json
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from console.app import make_app
from console.report import duration_text, write_report
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store


@pytest.fixture
def out(tmp_path: Path) -> Path:
    store = Store(tmp_path / "farsight.db")
    identity = store.add_identity("Ada <script>")
    import io

    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), (200, 10, 10)).save(buffer, "PNG")
    store.add_enrolment(identity, "a.png", "1", buffer.getvalue(), np.ones(4, np.float32), "r", 0.9, 80.0)
    (tmp_path / "crops").mkdir()
    Image.new("RGB", (30, 40), (10, 200, 10)).save(tmp_path / "crops" / "c.png")
    shared = {"crop": "crops/c.png", "restored": "crops/c.png", "threshold": 0.4, "nearest": "Ada <script>"}
    store.put_tracks(
        [
            row(PATH) | shared | {"identity": identity, "name": "Ada <script>"},
            row(PATH, "no_match") | shared | {"track": "y-0001", "name": None},
            row(PATH, "not_assessable")
            | {"track": "z-0001", "name": None, "score": None, "reasons": '["no_usable_shot", "blurred: 3"]'},
        ]
    )
    source = {"name": "cam", "status": "incomplete", "reason": "readable to 1.0 s", "position_s": 1.0, "duration_s": 2.0}
    (tmp_path / "run.json").write_text(
        json.dumps({"sources": [source], "settings": {"fpir": 0.01}, "groups": [], "versions": {"farsight": "0"}})
    )
    store.close()
    return tmp_path


def test_the_report_stands_alone_and_shows_every_track(out: Path) -> None:
    text = write_report(Store(out / "farsight.db"), out).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#|")[^"]*"', text)  # nothing is loaded from elsewhere
    assert (
        text.count("original crop") == 3
        and text.count("synthetic, super-resolved") + text.count("super-resolved chip, synthetic") == 2
    )
    assert "score 0.800" in text and "threshold 0.400" in text and "blurred: 3" in text
    assert "incomplete: readable to 1.0 s" in text
    assert "<script>" not in text and "Ada &lt;script&gt;" in text


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00.0"), (75.25, "1:15.2"), (3725.0, "1:02:05.0"), (None, "")])
def test_clock(seconds: float | None, shown: str) -> None:
    assert duration_text(seconds) == shown


def test_the_page_and_the_api(out: Path) -> None:
    client = TestClient(make_app(out / "farsight.db"), "http://localhost")
    assert "Farsight report" in client.get("/").text
    found = client.get("/api/sightings", params={"outcome": "match"}).json()
    assert [f["name"] for f in found] == ["Ada <script>"] and "template" not in found[0]
    assert client.get("/api/identities").json()[0]["photos"] == 1
    assert client.get("/annotated/..%2Ffarsight.db").status_code == 404
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_page_that_pretends_to_be_this_one_reads_nothing(out: Path) -> None:
    for base, status in (("http://evil.example", 400), ("http://127.0.0.1:8080", 200), ("http://[::1]:8080", 200)):
        assert TestClient(make_app(out / "farsight.db"), base).get("/api/identities").status_code == status


def test_the_report_says_who_was_not_looked_for(out: Path) -> None:
    store = Store(out / "farsight.db")
    store.add_identity("Bo", expires="2001-01-01")
    text = write_report(store, out).read_text()
    assert "1 people looked for: Ada" in text and "not looked for (disabled or expired): Bo" in text


def test_a_match_keeps_its_photo_when_the_person_is_set_aside(out: Path) -> None:
    store = Store(out / "farsight.db")
    before = write_report(store, out).read_text()
    store.set_enabled(store.identities()[0].id, False)
    assert 'alt="enrolled photo"' in before and 'alt="enrolled photo"' in write_report(store, out).read_text()


def test_before_the_end_of_a_run_its_sources_are_told_by_their_tracks(out: Path) -> None:
    (out / "run.json").unlink()
    text = write_report(Store(out / "farsight.db"), out).read_text()
    assert "1 source, 0:01.0 of video" in text and "<h3>cam</h3>" in text and text.count('href="#cam/') == 3


def test_tracks_of_cameras_lie_at_their_time_of_day(out: Path) -> None:
    store = Store(out / "farsight.db")
    day = datetime(2026, 11, 1, 8).timestamp()
    for track, at in (("x-0007", day), ("y-0001", day + 3600), ("z-0001", day + 7190)):
        store._db.execute("UPDATE tracks SET started_at = ?, ended_at = ? WHERE track = ?", (at, at + 10, track))
    text = write_report(store, out).read_text()
    assert "2026-11-01 08:00:00 to 08:00:10" in text and 'title="2026-11-01 09:00:00 to 09:00:10"' in text
    assert [float(left) for left in re.findall(r"left:([0-9.]+)%", text)] == [0.0, 50.0, pytest.approx(99.86, abs=0.01)]


@pytest.fixture
def client(out: Path) -> TestClient:
    return TestClient(make_app(out / "farsight.db"), "http://localhost")


@pytest.mark.parametrize("address", ["/", "/api", "/api/sightings", "/openapi.json", "/none", "/picture?source=cam&track=x-0007"])
def test_every_answer_forbids_scripts_frames_and_other_origins(client: TestClient, address: str) -> None:
    answer = client.get(address)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy and "frame-ancestors 'none'" in policy
    expected = {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
    }
    assert expected.items() <= dict(answer.headers).items() and "cache-control" in answer.headers
    if answer.headers["content-type"].startswith("text/html"):
        assert "<script" not in answer.text and "//cdn" not in answer.text and "http://" not in answer.text


def test_a_refused_host_gets_the_same_headers(out: Path) -> None:
    answer = TestClient(make_app(out / "farsight.db"), "http://evil.example").get("/")
    assert answer.status_code == 400 and answer.headers["x-frame-options"] == "DENY"


def test_the_api_is_described_without_anything_from_elsewhere(client: TestClient) -> None:
    assert "GET /api/sightings" in client.get("/api").text and client.get("/docs").status_code == 404


def test_sightings_come_a_page_at_a_time_until_the_last(client: TestClient) -> None:
    found, address = [], "/api/sightings?limit=1"
    while address:
        answer = client.get(address)
        found += [row["track"] for row in answer.json()]
        address = answer.links.get("next", {}).get("url", "")
    assert found == ["x-0007", "y-0001", "z-0001"]
    assert [r["track"] for r in client.get("/api/sightings", params={"after": "cam/y-0001"}).json()] == ["z-0001"]
    assert "no such track" in client.get("/api/sightings?after=cam/gone").json()["detail"]
    assert client.get("/api/identities?limit=1&after=0").json()[0]["name"] == "Ada <script>"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("source=cma", "source cma: must be one of cam"),
        ("outcome=maybe", "outcome maybe: must be one of match, no_match, not_assessable"),
        ("since=nan", "since nan: must be a time"),
        ("since=1764547200000", "milliseconds"),
        ("since=2026-11-02&until=2026-11-01", "is after until"),
    ],
)
def test_what_the_api_does_not_know_is_refused_with_what_it_does(client: TestClient, query: str, said: str) -> None:
    answer = client.get(f"/api/sightings?{query}")
    assert answer.status_code == 422 and said in answer.json()["detail"]


def test_the_api_takes_the_unix_time_that_it_gives(out: Path, client: TestClient) -> None:
    store = Store(out / "farsight.db")
    store._db.execute("UPDATE tracks SET started_at = 1764547200, ended_at = 1764547210 WHERE track = 'y-0001'")
    assert [row["track"] for row in client.get("/api/sightings?since=1764547200").json()] == ["y-0001"]
    assert client.get("/api/sightings?since=1764547220").json() == []


def test_pictures_of_the_page_are_given_and_only_those(client: TestClient) -> None:
    page = client.get("/").text
    shown = re.findall(r'src="(/[^"]+)"', page)
    assert len(shown) == 5  # crop and restored twice, one enrolled photo
    for address in shown:
        answer = client.get(address.replace("&amp;", "&"))
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/jpeg"
    assert client.get("/picture?source=cam&track=z-0001").status_code == 404
    assert client.get("/picture?source=cam&track=x-0007&kind=template").status_code == 422
    assert client.get("/enrolled/99999999999999999999").status_code == 404


def test_every_card_names_its_box_and_leads_into_the_video(out: Path) -> None:
    (out / "annotated").mkdir()
    (out / "annotated" / "cam.mp4").touch()
    text = write_report(Store(out / "farsight.db"), out).read_text()
    assert text.count('href="annotated/cam.mp4#t=0.0"') == 3
    for box, track in ((7, "x-0007"), (1, "y-0001"), (1, "z-0001")):
        assert re.search(rf"box {box} in the <a [^>]+>video</a> · track {track}", text)


def test_near_misses_and_what_is_likely_no_face_stand_apart_from_no_match(out: Path) -> None:
    store = Store(out / "farsight.db")
    shared = {"name": None, "threshold": 0.5, "nearest": "Bo"}
    for track, score, quality in (("near-0001", 0.47, 0.5), ("far-0002", 0.2, 0.5), ("hand-0003", 0.1, 0.05)):
        store.put_tracks([row(PATH, "no_match") | shared | {"track": track, "score": score, "quality": quality}])
    store._db.execute("DELETE FROM tracks WHERE track = 'y-0001'")
    text = write_report(store, out).read_text()
    marks = (
        "<h2>Near",
        'id="cam/near-0001"',
        "<h2>No match",
        'id="cam/far-0002"',
        "<h2>Likely no",
        'id="cam/hand-0003"',
        "<h2>Not as",
    )
    order = [text.index(mark) for mark in marks]
    assert order == sorted(order)


def test_a_large_run_s_report_is_small_and_says_where_the_rest_is(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from console import report

    monkeypatch.setattr(report, "MAX_CARDS", dict.fromkeys(report.MAX_CARDS, 5))
    monkeypatch.setattr(report, "PICTURE_BYTES", 3000)
    store = Store(out / "farsight.db")
    store.put_tracks([row(PATH, "no_match") | {"track": f"n-{n:04d}", "name": None, "crop": "crops/c.png"} for n in range(1000)])
    text = write_report(store, out).read_text()
    assert "<b>1001</b>no match" in text and "995 more tracks of this outcome: <code>farsight serve --db</code>" in text
    assert "pictures were left out" in text and len(text) < 60_000
    page = TestClient(make_app(out / "farsight.db"), "http://localhost").get("/tracks?outcome=no_match")
    assert page.text.count('class="card"') == 60 and "/tracks?outcome=no_match&amp;after=" in page.text


def test_the_report_names_version_and_commit(out: Path) -> None:
    (out / "run.json").write_text(json.dumps({"versions": {"farsight": "0.2.0", "commit": "abcdef0123456789"}}))
    assert "Farsight 0.2.0 (abcdef012345)" in write_report(Store(out / "farsight.db"), out).read_text()


def test_the_page_is_made_once_for_many_readers(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from console.pages import report as module

    made = []
    real = module.render_report
    monkeypatch.setattr(module, "render_report", lambda *a, **k: made.append(1) or real(*a, **k))
    client = TestClient(make_app(out / "farsight.db"), "http://localhost")
    with ThreadPoolExecutor(8) as pool:
        assert all("Farsight report" in text for text in pool.map(lambda _: client.get("/").text, range(24)))
    assert len(made) == 1
