"""API: the signed-in user; sign in and out with a session instead of a token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from console.auth import User, current_user, require
from console.auth.login import sign_in
from console.auth.sessions import close_session
from console.context import console_of

router = APIRouter(prefix="/api/v1/session", tags=["session"])


class Credentials(BaseModel):
    name: str = Field(max_length=200)
    password: str = Field(max_length=1024)


class Me(BaseModel):
    """The user. In a session, send ``csrf_token`` in the header ``X-CSRF-Token`` of every write."""

    name: str
    role: str
    anonymous: bool
    cameras: list[str] | None
    csrf_token: str | None


@router.get("")
def me(user: Annotated[User, Depends(current_user)]) -> Me:
    """The signed-in user."""
    cameras = None if user.cameras is None else list(user.cameras)
    return Me(name=user.name, role=user.role, anonymous=user.is_anonymous, cameras=cameras, csrf_token=user.csrf)


@router.post("")
def enter(request: Request, response: Response, given: Credentials) -> Me:
    """Sign in. The answer sets the session cookie."""
    account, csrf = sign_in(request, response, given.name, given.password)
    cameras = None if account.cameras is None else list(account.cameras)
    return Me(name=account.name, role=account.role, anonymous=False, cameras=cameras, csrf_token=csrf)


@router.delete("", status_code=204)
def leave(request: Request, user: Annotated[User, Depends(require("viewer"))]) -> Response:
    """Sign out."""
    answer = Response(status_code=204)
    close_session(console_of(request), request, answer)
    return answer
