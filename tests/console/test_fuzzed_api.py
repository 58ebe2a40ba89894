"""Whatever the API is asked, it answers: never a traceback, never another folder's file."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from console.app import make_app
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store

WORDS = some.one_of(
    some.text(max_size=12),
    some.sampled_from(
        ["cam", "cam/x-0007", "x-0007", "match", "nan", "-1", "0", "1e999", "9" * 30, "../../etc/passwd", "\0", "%2e%2e"]
    ),
    some.integers().map(str),
    some.floats().map(str),
    some.datetimes().map(str),
)
KEYS = some.sampled_from(
    ["source", "outcome", "since", "until", "limit", "after", "track", "kind"] + ["q", "review", "person", "min_px", "fpir"]
)
PATHS = some.sampled_from(
    ["/", "/api/sightings", "/api/identities", "/tracks", "/picture", "/healthz", "/api/v1/tracks", "/api/v1/people"]
    + ["/api/v1/tracks/cam/x-0007", "/api/v1/tracks/queues", "/api/v1/cases", "/api/v1/cameras", "/api/v1/settings/rate"]
)
RELAXED = {"derandomize": True, "deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    out = tmp_path_factory.mktemp("api")
    store = Store(out / "farsight.db")
    store.add_identity("Ada")
    store.put_tracks([row(PATH), row(PATH, "no_match") | {"track": "y-0001", "name": None}])
    store.close()
    return TestClient(make_app(out / "farsight.db"), "http://localhost")


def answers(client: TestClient, path: str, query: dict[str, str]) -> None:
    answer = client.get(path, params=query)  # raises what the application does not answer
    assert answer.status_code in (200, 404, 422), (path, query)
    assert "root:" not in answer.text


@given(path=PATHS, query=some.dictionaries(KEYS, WORDS, max_size=4))
@settings(max_examples=80, **RELAXED)
def test_any_question_is_answered_or_refused(client: TestClient, path: str, query: dict[str, str]) -> None:
    answers(client, path, query)


@pytest.mark.slow
@given(path=PATHS, query=some.dictionaries(KEYS, WORDS, max_size=6))
@settings(max_examples=5000, **RELAXED)
def test_a_thousand_questions_are_answered_or_refused(client: TestClient, path: str, query: dict[str, str]) -> None:
    answers(client, path, query)


@given(name=WORDS)
@settings(max_examples=40, **RELAXED)
def test_no_name_of_a_video_or_photo_leads_elsewhere(client: TestClient, name: str, tmp_path: Path) -> None:
    from urllib.parse import quote

    for path in ("/annotated/", "/enrolled/"):
        assert client.get(path + quote(name, safe="")).status_code in (200, 404, 422)
