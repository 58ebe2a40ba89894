"""Signing in and out."""

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
    """The form."""
    return page(request, "login.html", next=_own(next))


@router.post("/login")
def enter(
    request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
) -> Response:
    """Check name and password; then the page that was asked for."""
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
    """An address of this server: whoever signs in is led nowhere else."""
    safe = address.startswith("/") and not address.startswith(("//", "/\\")) and address.isprintable() and "\\" not in address
    return address if safe else "/"
