"""Limits of request bodies: the size by path, and the role that large bodies need."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request

from console.auth.users import SAFE_METHODS, check_role
from console.problems import Problem, problem_response
from watchlist.sqlite_connection import StoreError

DEFAULT_BYTES = 1_000_000
MEGABYTE = 1_000_000
# Path prefix: (bytes, role). The longest prefix that fits applies. The role is checked here, because FastAPI stores a form on
# disk before it calls the route, which checks the role again.
LIMITS: dict[str, tuple[int, str | None]] = {
    "/api/v1/people": (100 * MEGABYTE, "operator"),  # photos
    "/people": (100 * MEGABYTE, "operator"),
    "/api/v1/people/import": (2_000 * MEGABYTE, "operator"),  # a zip of photos
    "/people/import": (2_000 * MEGABYTE, "operator"),
    "/api/v1/search": (100 * MEGABYTE, "reviewer"),
    "/search": (100 * MEGABYTE, "viewer"),
    "/api/v1/recordings": (100_000 * MEGABYTE, "operator"),
    "/runs": (100_000 * MEGABYTE, "operator"),  # a recording
    "/login": (10_000, None),
}


class _TooLarge(HTTPException):  # FastAPI passes HTTPExceptions on while it reads a body
    def __init__(self, limit: int) -> None:
        super().__init__(413, f"at most {limit / MEGABYTE:g} MB are accepted here; send less")


class BodyLimit:
    """ASGI middleware that enforces `LIMITS`.

    It answers 413 if ``Content-Length`` or the received bytes exceed the limit of the path, and 401 or 403 if the path needs a
    role that the user does not have.
    """

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        (limit, role), received, started = limit_of(scope["path"]), 0, False
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await _refuse(send, limit)
            return
        if role is not None and scope["method"] not in SAFE_METHODS:
            request = Request(scope)
            try:
                await check_role(request, role)
            except Problem as problem:
                await problem_response(request, problem)(scope, receive, send)
                return
            except (sqlite3.Error, StoreError):  # the route reports what is wrong with the database
                limit = DEFAULT_BYTES

        async def counted() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLarge(limit)
            return message

        async def watched(message: Any) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLarge:
            if not started:
                await _refuse(send, limit)


def limit_of(path: str) -> tuple[int, str | None]:
    """The limit of a path: the largest body in bytes, and the role that it needs (None: no role)."""
    fitting = [start for start in LIMITS if path == start or path.startswith(f"{start}/")]
    return LIMITS[max(fitting, key=len)] if fitting else (DEFAULT_BYTES, None)


async def _refuse(send: Any, limit: int) -> None:
    detail = f"at most {limit / MEGABYTE:g} MB are accepted here; send less"
    content = json.dumps({"type": "about:blank", "title": "Too large", "status": 413, "detail": detail}).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": content})
