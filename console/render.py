"""Render the console's templates."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, select_autoescape

from console.security import PAGE_POLICY
from console.timeline import duration_text

FOLDER = Path(__file__).parent
PAGES = Environment(
    loader=FileSystemLoader(FOLDER / "templates" / "console"),
    autoescape=select_autoescape(default=True, default_for_string=True),
    trim_blocks=True,
    lstrip_blocks=True,
)
PAGES.filters["clock"] = duration_text


@cache
def asset(name: str) -> str:
    """Address of a static file. It contains a hash of the content, so browsers may cache the file."""
    digest = hashlib.sha256((FOLDER / "static" / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


PAGES.globals["asset"] = asset


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """Render a page or a part of one, with the content security policy of the console's pages.

    Args:
        request: the request.
        template: file in ``templates/console/``.
        status: HTTP status.
        **context: variables of the template. It also gets ``request``, ``user`` (a `console.auth.User`; None before the user of
            the request is known) and ``csrf``.
    """
    user = getattr(request.state, "user", None)
    html = PAGES.get_template(template).render(request=request, user=user, csrf=user.csrf if user else None, **context)
    return HTMLResponse(html, status, {"content-security-policy": PAGE_POLICY})
