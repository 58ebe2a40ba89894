"""Error answers: problem+json (RFC 9457) for programs, a short page for browsers."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from console.render import page
from pipeline.errors import redact
from watchlist.sqlite_connection import StoreError

Result = TypeVar("Result")


class Problem(Exception):
    """An error answer.

    Args:
        status: HTTP status.
        title: what is wrong.
        detail: the cause, and what to do.
        headers: further headers of the answer.
        **extra: further fields of the JSON.
    """

    def __init__(self, status: int, title: str, detail: str = "", headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status, self.title, self.detail, self.headers, self.extra = status, title, detail, headers or {}, extra


class NotSignedIn(Problem):
    """401: no account, or an expired session. A browser is sent to the sign-in page."""

    def __init__(self, detail: str = "sign in, or send an API token as `Authorization: Bearer TOKEN`") -> None:
        super().__init__(401, "Not signed in", detail, {"www-authenticate": "Bearer"})


def busy() -> Problem:
    """The Problem 503: the database is locked."""
    return Problem(
        503, "The database is busy", "another program writes to it; nothing was changed, try again", {"retry-after": "5"}
    )


def not_found(what: str) -> Problem:
    """The Problem 404, with ``what`` as its detail."""
    return Problem(404, "Not found", what)


def allowed(check: Callable[[], Result]) -> Result:
    """Return the result of ``check``. A ValueError that it raises becomes Problem 422 with the same message."""
    try:
        return check()
    except ValueError as error:
        raise Problem(422, "Not allowed", str(error)) from None


def problem_response(request: Request, problem: Problem) -> Response:
    """Turn a problem into an answer.

    Returns:
        problem+json for the API and for clients that do not accept HTML; else a page. For `NotSignedIn` outside the API: a
        redirect to the sign-in page.
    """
    if isinstance(problem, NotSignedIn) and not _is_api(request):
        address = f"/login?next={_here(request)}"
        if request.headers.get("hx-request") == "true":
            return Response(status_code=401, headers={"hx-redirect": address})
        if request.method in ("GET", "HEAD"):
            return RedirectResponse(address, 303)
    if _is_api(request) or "text/html" not in request.headers.get("accept", ""):
        return _json(request, problem)
    answer = page(request, "problem.html", status=problem.status, title=problem.title, detail=problem.detail)
    answer.headers.update(problem.headers)
    return answer


def _json(request: Request, problem: Problem) -> Response:
    content = {"type": "about:blank", "title": problem.title, "status": problem.status, "detail": problem.detail} | problem.extra
    return Response(json.dumps(content), problem.status, problem.headers, "application/problem+json")


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api")


def _without_folder(request: Request, error: StoreError) -> str:
    """The error without the folder of the database, because users who are not signed in see it, too."""
    folder = request.app.state.console.database.parent
    return str(error).replace(f"{folder}/", "").replace(f"{folder.resolve()}/", "")


def _here(request: Request) -> str:
    from urllib.parse import quote

    return quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="")


def install(app: FastAPI) -> None:
    """Install exception handlers that turn every expected error into a `Problem` answer."""

    @app.exception_handler(Problem)
    def problem(request: Request, error: Problem) -> Response:
        return problem_response(request, error)

    @app.exception_handler(StoreError)
    def store(request: Request, error: StoreError) -> Response:
        return problem_response(request, Problem(500, "The database cannot be used", _without_folder(request, error)))

    @app.exception_handler(sqlite3.OperationalError)
    def locked(request: Request, error: sqlite3.OperationalError) -> Response:
        if "locked" in str(error) or "busy" in str(error):
            return problem_response(request, busy())
        return problem_response(request, Problem(500, "The database cannot be used", redact(str(error))))

    @app.exception_handler(UnicodeEncodeError)
    @app.exception_handler(OverflowError)
    def no_value(request: Request, error: Exception) -> Response:
        return problem_response(request, Problem(422, "Not allowed", "a text is not valid Unicode, or a number is too large"))

    @app.exception_handler(OSError)
    def file(request: Request, error: OSError) -> Response:
        return problem_response(request, Problem(500, "A file cannot be used", error.strerror or type(error).__name__))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        title = HTTPStatus(error.status_code).phrase
        detail = error.detail if isinstance(error.detail, str) else json.dumps(error.detail)
        return problem_response(request, Problem(error.status_code, title, detail, dict(error.headers or {})))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        faults = [
            {"field": ".".join(str(part) for part in fault["loc"]), "message": str(fault["msg"])} for fault in error.errors()
        ]
        detail = "; ".join(f"{fault['field']}: {fault['message']}" for fault in faults)
        return problem_response(request, Problem(422, "Not allowed", detail, faults=faults))
