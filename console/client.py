"""A small Python client of the HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx


class ConsoleError(Exception):
    """The server answered with an error.

    Attributes:
        status: HTTP status.
        problem: the answer's problem+json (RFC 9457).
    """

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}")
        self.status, self.problem = status, problem


class ConsoleClient:
    """Calls the API of a console. Every method raises `ConsoleError` if the server answers with an error.

    Args:
        address: base address, such as ``https://console.example.org``.
        token: API token (`farsight user token`). None: use `sign_in`, or read without an account while there is none.
        http: HTTP client with its own base address; None: a new one.

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
        """Open a session, instead of using a token. Returns name, role, visible cameras and CSRF token of the account."""
        found: dict[str, Any] = self.call("POST", "session", json={"name": name, "password": password})
        self._http.headers["x-csrf-token"] = found["csrf_token"]
        return found

    def call(self, method: str, path: str, **more: Any) -> Any:
        """Call ``/api/v1/PATH``.

        Args:
            method: HTTP method.
            path: below ``/api/v1/``.
            **more: arguments of `httpx.Client.request`.

        Returns:
            The decoded JSON, the bytes of any other content, or None if the answer is empty.

        Raises:
            ConsoleError: the server answered with an error.
        """
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
        """Iterate over the items of a paged list, requesting pages as needed.

        Args:
            path: below ``/api/v1/``.
            key: query parameter that takes ``next`` of the page before.
            **query: further query parameters; None is left out.
        """
        query = {name: value for name, value in query.items() if value is not None}
        while True:
            page = self.call("GET", path, params=query)
            yield from page["items"]
            if page["next"] is None:
                return
            query[key] = page["next"]

    def tracks(self, **where: Any) -> Iterator[dict[str, Any]]:
        """Iterate over sightings, newest first.

        Args:
            **where: filters ``outcome``, ``source``, ``person``, ``review``, ``since``, ``until``, ``min_px`` and ``max_px``.
        """
        return self.pages("tracks", **where)

    def track(self, source: str, track: str) -> dict[str, Any]:
        """One sighting, with its nearest people and reviews."""
        return dict(self.call("GET", f"tracks/{_part(source)}/{_part(track)}"))

    def review(self, source: str, track: str, verdict: str, note: str = "", last_review: int | None = None) -> str:
        """Review a sighting.

        Args:
            source: name of the recording or camera.
            track: name of the track.
            verdict: ``confirmed``, ``rejected`` or ``open``.
            note: free text.
            last_review: id of the newest review that you have seen (0: none). If there is a newer one, the server refuses yours.

        Returns:
            The track's state of review: ``open``, ``second``, ``confirmed`` or ``rejected``.
        """
        given = {"verdict": verdict, "note": note, "last_review": last_review}
        return str(self.call("POST", f"tracks/{_part(source)}/{_part(track)}/review", json=given)["state"])

    def people(self, q: str = "") -> Iterator[dict[str, Any]]:
        """Iterate over the people whose name or external id contains ``q``; empty: everybody on the list."""
        return self.pages("people", q=q)

    def enrol(self, name: str, photos: list[Path], face: int | None = None, **details: str) -> dict[str, Any]:
        """Enrol a person.

        Args:
            name: of the person.
            photos: image files.
            face: number of the face in a single photo, from 1; None: the photo must show one person.
            **details: ``external_id``, ``purpose``, ``authority``, ``expires``.

        Returns:
            ``verdicts``: one for each photo.
        """
        data = {"name": name, **details} | ({} if face is None else {"face": str(face)})
        return dict(self.call("POST", "people", data=data, files=[("photos", (p.name, p.read_bytes())) for p in photos]))

    def import_people(self, files: list[Path]) -> dict[str, Any]:
        """Start an import of a zip, or of a CSV and its photos. Its ``token`` goes to `import_state`."""
        return dict(self.call("POST", "people/import", files=[("files", (p.name, p.read_bytes())) for p in files]))

    def import_state(self, token: str) -> dict[str, Any]:
        """Progress of an import, with the verdicts so far."""
        return dict(self.call("GET", f"people/import/{_part(token)}"))

    def search(self, photo: Path, face: int | None = None, **how: Any) -> dict[str, Any]:
        """Search past tracks for the person in a photo.

        Args:
            photo: image file.
            face: number of the face, from 1; None: the photo must show one person.
            **how: ``top``, ``fpir`` and the filters ``source``, ``since``, ``until``, ``min_px``.

        Returns:
            ``hits`` and ``compared``. If no face can be used or one has to be chosen: ``refused`` and ``faces``.
        """
        data = {} if face is None else {"face": str(face)}
        return dict(self.call("POST", "search/photo", params=how, data=data, files={"photo": (photo.name, photo.read_bytes())}))

    def close(self) -> None:
        self._http.close()


def _part(text: str) -> str:
    return quote(text, safe="")
