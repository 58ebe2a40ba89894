"""Pages for admins: accounts with roles, cameras and API tokens, and the audit log. All users may change their own password."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse

from console.auth.login import check_password
from console.auth.passwords import check_strength, hash_password
from console.auth.sessions import make_token
from console.context import console_of
from console.pages.layout import MAX_ID, Admin, Viewer, done, show, visible_sources
from console.problems import Problem
from watchlist.accounts import ROLES
from watchlist.database import StoreError

router = APIRouter(include_in_schema=False)
AUDIT_PAGE = 100
MEANING = {
    "viewer": "looks and searches",
    "reviewer": "also confirms and rejects",
    "operator": "also enrols, starts runs, exports",
    "admin": "also settings, cameras, users",
}


@router.get("/users")
def users(request: Request, user: Admin) -> HTMLResponse:
    """Show all accounts."""
    console = console_of(request)
    store = console.reader()
    return show(
        request, user, "users.html", "users", "Users",
        accounts=store.accounts(), tokens=store.tokens(), roles=ROLES, meaning=MEANING, sources=visible_sources(console, user),
    )  # fmt: skip


@router.post("/users")
def add(
    request: Request,
    user: Admin,
    name: Annotated[str, Form()],
    role: Annotated[str, Form()],
    password: Annotated[str, Form()],
    cameras: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Create an account."""
    hashed = _hashed(password)
    with console_of(request).writer(user.name) as store:
        try:
            store.add_account(name, role, hashed, [camera for camera in cameras or [] if camera] or None)
        except StoreError as error:
            raise Problem(422, "Not added", str(error)) from None
    return done("/users", f"{name} was added")


@router.get("/audit")
def audit(request: Request, user: Admin, before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None) -> HTMLResponse:
    """Show the audit log, newest row first; the first page also verifies its hash chain."""
    store = console_of(request).reader()
    rows = store.audit_rows(AUDIT_PAGE, before)
    check = store.verify_audit() if before is None else None
    return show(
        request, user, "audit.html", "users", "Audit log", rows=rows, check=check,
        more=rows[-1]["id"] if len(rows) == AUDIT_PAGE else None,
    )  # fmt: skip


@router.get("/account")
def account(request: Request, user: Viewer) -> HTMLResponse:
    """Show the user's own account."""
    return show(request, user, "account.html", "", "Your account", meaning=MEANING)


@router.post("/account")
def change_password(request: Request, user: Viewer, old: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Change the user's own password, which ends all their sessions."""
    console = console_of(request)
    assert user.id is not None  # the anonymous user may not write
    if check_password(request, user.name, old) is None:
        raise Problem(422, "Wrong password", "the present password is not correct")
    hashed = _hashed(password)
    with console.writer(user.name) as store:
        store.set_password(user.id, hashed)
    return done("/login")


@router.post("/users/{number}")
def change(
    request: Request,
    user: Admin,
    number: Annotated[int, InPath(ge=1, le=MAX_ID)],
    action: Annotated[str, Form()],
    role: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    token: Annotated[int, Form(ge=0, le=MAX_ID)] = 0,
    cameras: Annotated[list[str] | None, Form()] = None,
) -> Response:
    """Apply one action to an account: save role and cameras, set the password, remove it, add or remove an API token."""
    secret = ""
    hashed = _hashed(password) if action == "password" else ""
    with console_of(request).writer(user.name) as store:
        try:
            if action == "save":
                store.change_account(number, role or None, [camera for camera in cameras or [] if camera] or None)
            elif action == "password":
                store.set_password(number, hashed)
            elif action == "remove":
                store.remove_account(number)
            elif action == "token":
                secret, digest = make_token()
                store.add_token(number, label.strip()[:100] or "token", digest)
            elif action == "remove-token":
                store.remove_token(token, number)
            else:
                raise Problem(422, "Not allowed", f"action {action[:40]}: is unknown")
        except StoreError as error:
            raise Problem(409, "Not changed", str(error)) from None
    if secret:  # shown once, never in an address
        return show(request, user, "token.html", "users", "API token", secret=secret)
    messages = {"save": "Saved", "password": "The password was changed; the user is signed out everywhere", "remove": "Removed"}
    return done("/users", messages.get(action, "The token was removed"))


def _hashed(password: str) -> str:
    try:
        check_strength(password)
    except ValueError as error:
        raise Problem(422, "Not a good password", str(error)) from None
    return hash_password(password)
