import json
import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from console.app import make_app
from console.report import clock, write_report
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
    assert clock(seconds) == shown


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
    assert "1 people looked for: Ada" in text and "not looked for (set aside or expired): Bo" in text


def test_a_match_keeps_its_photo_when_the_person_is_set_aside(out: Path) -> None:
    store = Store(out / "farsight.db")
    before = write_report(store, out).read_text()
    store.set_aside(store.identities()[0].id)
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
