"""Pages to sign in and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from console.auth import User, require
from console.auth.login import sign_in
from console.auth.sessions import close_session
from console.context import console_of
from console.problems import Problem
from console.render import page

router = APIRouter(include_in_schema=False)


@router.get("/login")
def ask(request: Request, next: str = "/") -> Response:
    """Show the form."""
    return page(request, "login.html", next=_own(next))


@router.post("/login")
def enter(
    request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
) -> Response:
    """Sign in, and redirect to the page that was requested before."""
    answer = RedirectResponse(_own(next), 303)
    try:
        sign_in(request, answer, name, password)
    except Problem as problem:
        refused = page(request, "login.html", problem.status, next=_own(next), name=name, fault=problem)
        refused.headers.update(problem.headers)
        return refused
    return answer


@router.post("/logout")
def leave(request: Request, user: Annotated[User, Depends(require("viewer"))]) -> Response:
    """Sign out."""
    answer = RedirectResponse("/login", 303)
    close_session(console_of(request), request, answer)
    return answer


def _own(address: str) -> str:
    """The address if it is a path on this server, else "/": a link must not redirect to another site."""
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable() and "\\" not in address
    return address if safe else "/"
