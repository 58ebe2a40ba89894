"""A small client of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx


class ConsoleError(Exception):
    """The server refused; ``problem`` is its problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status, self.problem = status, problem


class ConsoleClient:
    """Calls the API of a console.

    Args:
        address: as ``https://console.example.org``.
        token: an API token, made by `farsight user token`; None: `sign_in`, or nothing where there is no account.
        http: the HTTP client to use; None: a new one.

    Example:
        >>> console = ConsoleClient("http://127.0.0.1:8080", token)
        >>> for sighting in console.tracks(outcome="match", review="open"):
        ...     console.review(sighting["source"], sighting["track"], "confirmed")
    """

    def __init__(
        self, address: str = "http://127.0.0.1:8080", token: str | None = None, http: httpx.Client | None = None
    ) -> None:
        self._http = http or httpx.Client(base_url=address, timeout=60.0)
        if token:
            self._http.headers["authorization"] = f"Bearer {token}"

    def sign_in(self, name: str, password: str) -> dict[str, Any]:
        """Open a session instead of using a token."""
        found: dict[str, Any] = self.call("POST", "session", json={"name": name, "password": password})
        self._http.headers["x-csrf-token"] = found["csrf_token"]
        return found

    def call(self, method: str, path: str, **more: Any) -> Any:
        """Call ``/api/v1/PATH``; returns its JSON, bytes of another kind, or None. Raises ConsoleError."""
        answer = self._http.request(method, f"/api/v1/{path}", **more)
        if answer.is_error:
            try:
                problem = dict(answer.json())
            except ValueError:
                problem = {"title": answer.reason_phrase}
            raise ConsoleError(answer.status_code, problem)
        if not answer.content:
            return None
        return answer.json() if answer.headers["content-type"].startswith("application/json") else answer.content

    def pages(self, path: str, key: str = "after", **query: Any) -> Iterator[Any]:
        """Every item of a list that comes in pages."""
        query = {name: value for name, value in query.items() if value is not None}
        while True:
            page = self.call("GET", path, params=query)
            yield from page["items"]
            if page["next"] is None:
                return
            query[key] = page["next"]

    def tracks(self, **where: Any) -> Iterator[dict[str, Any]]:
        """Sightings, the newest first: outcome, source, person, review, since, until, min_px, max_px."""
        return self.pages("tracks", **where)

    def track(self, source: str, track: str) -> dict[str, Any]:
        """One sighting, with the nearest people and its reviews."""
        return dict(self.call("GET", f"tracks/{_part(source)}/{_part(track)}"))

    def review(self, source: str, track: str, verdict: str, note: str = "", last_review: int | None = None) -> str:
        """``confirmed``, ``rejected`` or ``open``; returns the state."""
        given = {"verdict": verdict, "note": note, "last_review": last_review}
        return str(self.call("POST", f"tracks/{_part(source)}/{_part(track)}/review", json=given)["state"])

    def people(self, q: str = "") -> Iterator[dict[str, Any]]:
        """The people on the list whose name or external id holds ``q``."""
        return self.pages("people", q=q)

    def enrol(self, name: str, photos: list[Path], face: int | None = None, **details: str) -> dict[str, Any]:
        """Enrol a person; returns a verdict for each photo."""
        data = {"name": name, **details} | ({} if face is None else {"face": str(face)})
        return dict(self.call("POST", "people", data=data, files=[("photos", (p.name, p.read_bytes())) for p in photos]))

    def import_people(self, files: list[Path]) -> dict[str, Any]:
        """Begin to enrol the people of a zip, or of a CSV and its photos; see `import_state`."""
        return dict(self.call("POST", "people/import", files=[("files", (p.name, p.read_bytes())) for p in files]))

    def import_state(self, token: str) -> dict[str, Any]:
        """How far an import is, with its verdicts."""
        return dict(self.call("GET", f"people/import/{_part(token)}"))

    def search(self, photo: Path, face: int | None = None, **how: Any) -> dict[str, Any]:
        """Past tracks of the person of a photo; ``refused`` and ``faces`` where a face has to be chosen."""
        data = {} if face is None else {"face": str(face)}
        return dict(self.call("POST", "search/photo", params=how, data=data, files={"photo": (photo.name, photo.read_bytes())}))

    def close(self) -> None:
        self._http.close()


def _part(text: str) -> str:
    return quote(text, safe="")
