"""Protection against cross-site request forgery: writes of a browser must come from a page of this server."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

from fastapi import Request

from console.problems import Problem

HEADER = "x-csrf-token"
FIELD = "csrf_token"
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def same_origin(request: Request) -> bool:
    """Whether the headers ``Sec-Fetch-Site`` and ``Origin`` allow that a request comes from this server's pages.

    True if they are missing: programs do not send them.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin in (None, "null") or urlsplit(origin).netloc == request.headers.get("host")


async def check_csrf(request: Request, expected: str | None) -> None:
    """Refuse a write that another site's page may have caused.

    Args:
        request: the request.
        expected: CSRF token of the session, which the header `HEADER` or the form field `FIELD` must hold. None: the request was
            authenticated by an API token, which a browser never adds by itself.

    Raises:
        Problem: 403 if the request comes from another site or its token is wrong.
    """
    if not same_origin(request):
        raise Problem(403, "Not from this page", "the request comes from another site's page; open the console itself")
    if expected is None:
        return
    given = request.headers.get(HEADER)
    if given is None and request.headers.get("content-type", "").partition(";")[0].strip() in FORMS:
        value = (await request.form()).get(FIELD)
        given = value if isinstance(value, str) else None
    if given is None or not secrets.compare_digest(given.encode(), expected.encode()):
        raise Problem(403, "Not from this page", "the CSRF token is missing or of an earlier session; load the page again")
