"""API: settings, users and the audit log."""

from __future__ import annotations

import time
from typing import Annotated, Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, Field

from console.api.common import MAX_ID, Admin, Viewer
from console.auth import passwords
from console.auth.sessions import make_token
from console.auth.users import User
from console.context import console_of
from console.pages.layout import LANGUAGES
from console.pages.review import persons_needed
from console.problems import Problem, not_found
from watchlist.accounts import ROLES
from watchlist.sqlite_connection import StoreError

router = APIRouter(prefix="/api/v1", tags=["administration"])
AccountId = Annotated[int, InPath(ge=1, le=MAX_ID)]


class Settings(BaseModel):
    """The console's settings."""

    review_persons: int = Field(1, ge=1, le=2, description="number of people who have to confirm a match")
    unknowns: bool = Field(False, description="group people who are not on the list")
    language: str = Field("", description="language of dates and numbers; empty: the browser's")
    time_zone: str = Field("", max_length=60, description="such as Europe/Berlin; empty: the server's")
    fpir: float = Field(0.01, gt=0, lt=1, description="false alarms allowed per passer-by, in runs that the console starts")


class SettingsChange(BaseModel):
    review_persons: int | None = Field(None, ge=1, le=2)
    unknowns: bool | None = None
    language: str | None = Field(None, max_length=10)
    time_zone: str | None = Field(None, max_length=60)
    fpir: float | None = Field(None, gt=0, lt=1)


class Rate(BaseModel):
    """False alarms to expect per day, at the traffic of the last seven days."""

    fpir: float
    tracks_a_day: float = Field(description="assessable tracks per day, of those with a time of day")
    false_alarms_a_day: float


class Account(BaseModel):
    id: int
    name: str
    role: str
    cameras: list[str] | None
    created: float
    tokens: int


class NewAccount(BaseModel):
    name: str = Field(min_length=1, max_length=200)
    role: str
    password: str = Field(min_length=passwords.MIN_LENGTH, max_length=passwords.MAX_LENGTH)
    cameras: list[str] | None = None


class AccountChange(BaseModel):
    role: str | None = None
    password: str | None = Field(None, min_length=passwords.MIN_LENGTH, max_length=passwords.MAX_LENGTH)
    cameras: list[str] | None = None
    all_cameras: bool = False


class NewToken(BaseModel):
    label: str = Field("", max_length=200)
    days: float | None = Field(None, gt=0, le=36_500)


class Token(BaseModel):
    id: int
    secret: str = Field(description="shown only once; the database stores its hash")


class AuditRow(BaseModel):
    id: int
    at: float
    user: str | None
    what: str
    detail: Any


class AuditPage(BaseModel):
    items: list[AuditRow]
    next: int | None = Field(description="value of `before` for the next page")


class AuditState(BaseModel):
    rows: int
    head: str
    broken: int | None
    fault: str


@router.get("/settings")
def settings(request: Request, user: Viewer) -> Settings:
    """The console's settings."""
    store = console_of(request).reader()
    values = {key: store.preference(key) for key in Settings.model_fields}
    values["review_persons"] = persons_needed(store)
    return Settings(**{key: value for key, value in values.items() if value is not None})


@router.patch("/settings")
def change_settings(request: Request, user: Admin, given: SettingsChange) -> Settings:
    """Change settings."""
    values = {key: value for key, value in given.model_dump().items() if value is not None}
    for key, allowed in (("language", LANGUAGES), ("time_zone", {"", *available_timezones()})):
        if key in values and values[key] not in allowed:
            raise Problem(422, "Not allowed", f"{key} {values[key]}: must be one that the settings page lists")
    if "review_persons" in values:
        values["review"] = {"persons": values.pop("review_persons")}
    if values:
        with console_of(request).writer(user.name) as store:
            store.set_preferences(values)
    return settings(request, user)


@router.get("/settings/rate")
def rate(request: Request, user: Viewer, fpir: Annotated[float, Query(gt=0, lt=1)] = 0.01) -> Rate:
    """Convert a false-alarm rate into false alarms per day, at the traffic of the last seven days."""
    a_day = float(console_of(request).reader().traffic(time.time(), user.cameras)["per_day"])
    return Rate(fpir=fpir, tracks_a_day=a_day, false_alarms_a_day=fpir * a_day)


@router.get("/users")
def users(request: Request, user: Admin) -> list[Account]:
    """All accounts."""
    store = console_of(request).reader()
    return [
        Account(
            id=a.id,
            name=a.name,
            role=a.role,
            cameras=None if a.cameras is None else list(a.cameras),
            created=a.created,
            tokens=len(store.tokens(a.id)),
        )
        for a in store.accounts()
    ]


def _account(request: Request, user: User, identity: int) -> Account:
    found = [account for account in users(request, user) if account.id == identity]
    if not found:
        raise not_found(f"user {identity}: there is none with this ID")
    return found[0]


@router.post("/users", status_code=201)
def add_user(request: Request, user: Admin, given: NewAccount) -> Account:
    """Create an account."""
    _check_role(given.role)
    hashed = passwords.hash_password(given.password)
    try:
        with console_of(request).writer(user.name) as store:
            identity = store.add_account(given.name, given.role, hashed, given.cameras)
    except StoreError as error:
        raise Problem(422, "Not allowed", str(error)) from None
    return _account(request, user, identity)


@router.patch("/users/{identity}")
def change_user(request: Request, user: Admin, identity: AccountId, given: AccountChange) -> Account:
    """Change the role, cameras or password of an account."""
    _account(request, user, identity)
    if given.role is not None:
        _check_role(given.role)
    hashed = None if given.password is None else passwords.hash_password(given.password)
    try:
        with console_of(request).writer(user.name) as store, store.transaction():
            if given.role is not None or given.cameras is not None or given.all_cameras:
                cameras = None if given.all_cameras else (given.cameras if given.cameras is not None else False)
                store.change_account(identity, given.role, cameras)
            if hashed is not None:
                store.set_password(identity, hashed)
    except StoreError as error:
        raise Problem(422, "Not allowed", str(error)) from None
    return _account(request, user, identity)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Problem(422, "Not allowed", f"role {role}: must be one of {', '.join(ROLES)}")


@router.delete("/users/{identity}", status_code=204)
def remove_user(request: Request, user: Admin, identity: AccountId) -> None:
    """Delete an account with its sessions and API tokens."""
    _account(request, user, identity)
    try:
        with console_of(request).writer(user.name) as store:
            store.remove_account(identity)
    except StoreError as error:
        raise Problem(422, "Not allowed", str(error)) from None


@router.post("/users/{identity}/tokens", status_code=201)
def add_token(request: Request, user: Viewer, identity: AccountId, given: NewToken) -> Token:
    """Create an API token for your own account, or, as an admin, for any account."""
    _own_or_admin(user, identity)
    secret, digest = make_token()
    expires = None if given.days is None else time.time() + 86_400 * given.days
    try:
        with console_of(request).writer(user.name) as store:
            made = store.add_token(identity, given.label, digest, expires)
    except StoreError as error:
        raise not_found(str(error)) from None
    return Token(id=made, secret=secret)


@router.delete("/users/{identity}/tokens/{token}", status_code=204)
def remove_token(request: Request, user: Viewer, identity: AccountId, token: AccountId) -> None:
    """Delete an API token."""
    _own_or_admin(user, identity)
    with console_of(request).writer(user.name) as store:
        if not store.remove_token(token, identity):
            raise not_found(f"token {token}: this user has none with this ID")


def _own_or_admin(user: User, identity: int) -> None:
    if user.id != identity and not user.may("admin"):
        raise Problem(403, "Not allowed", "tokens of others need the role admin")


@router.get("/audit")
def audit(
    request: Request,
    user: Admin,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    what: str | None = None,
) -> AuditPage:
    """The audit log, newest row first."""
    rows = console_of(request).reader().audit_rows(limit, before, what)
    return AuditPage(items=[AuditRow(**row) for row in rows], next=rows[-1]["id"] if len(rows) == limit else None)


@router.get("/audit/verify")
def verify(request: Request, user: Admin) -> AuditState:
    """Verify the hash chain of the audit log."""
    return AuditState(**vars(console_of(request).reader().verify_audit()))
