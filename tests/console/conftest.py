"""A console with accounts, and clients that are signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient

from console.app import make_app
from console.auth import passwords
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store

PASSWORD = "correct horse battery"
ROLES = ("viewer", "reviewer", "operator", "admin")
Clients = Callable[..., TestClient]


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Hashes with the least work; the parameters of real ones are a test of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", PasswordHasher(1, 8, 1))
        patch.setattr(passwords, "NOBODY", passwords._HASHER.hash("nobody has this password"))
        yield


@pytest.fixture(scope="session")
def password_hash(quick_hashes: None) -> str:
    return passwords.hash_password(PASSWORD)


@pytest.fixture
def console_out(tmp_path: Path, password_hash: str) -> Path:
    """An output folder with a user of each role, named after it, two people and three tracks of two cameras."""
    store = Store(tmp_path / "farsight.db")
    for role in ROLES:
        store.add_account(role, role, password_hash)
    ada = store.add_identity("Ada")
    store.add_identity("Bo")
    store.put_tracks(
        [
            row(PATH) | {"identity": ada, "name": "Ada", "nearest": "Ada", "threshold": 0.4},
            row(PATH, "no_match") | {"track": "y-0001", "name": None, "nearest": "Bo", "threshold": 0.4},
            row(PATH, "not_assessable") | {"source": "yard", "track": "z-0001", "name": None, "score": None},
        ]
    )
    store.close()
    return tmp_path


@pytest.fixture
def console_app(console_out: Path) -> FastAPI:
    return make_app(console_out / "farsight.db")


@pytest.fixture
def signed_in(console_app: FastAPI) -> Clients:
    """Makes a client that is signed in as the user of a role, and sends the CSRF token with every request."""

    def client(role: str, name: str | None = None) -> TestClient:
        made = TestClient(console_app, "http://localhost")
        answer = made.post("/api/v1/session", json={"name": name or role, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        made.headers["x-csrf-token"] = answer.json()["csrf_token"]
        return made

    return client
