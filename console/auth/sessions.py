"""Sessions of browsers and API tokens: random secrets, of which the database keeps the SHA-256."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from contextlib import suppress

from fastapi import Request, Response

from console.context import Console
from console.problems import Problem
from watchlist.accounts import Account, Session
from watchlist.sqlite_connection import StoreError

COOKIE = "farsight_session"
MAX_AGE_S = 12 * 3600.0  # a working day
IDLE_S = 2 * 3600.0  # without a request
TOUCH_S = 300.0  # how seldom it is written down that a session is in use


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def open_session(console: Console, account: Account, response: Response) -> str:
    """Sign a user in: keep a session and put its cookie into a response. Returns the CSRF token."""
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    with console.writer(account.name) as store:
        store.open_session(account.id, digest(secret), csrf, time.time() + MAX_AGE_S)
        store.log_audit("sign in", account=account.id)
    response.set_cookie(
        COOKIE, secret, max_age=int(MAX_AGE_S), httponly=True, samesite="strict", secure=console.options.secure, path="/"
    )
    return csrf


def find_session(console: Console, request: Request, in_use: bool = True) -> Session | None:
    """The session of a request's cookie, unless it has expired; ``in_use``: write down that it is in use."""
    secret = request.cookies.get(COOKIE)
    if not secret:
        return None
    token, now = digest(secret), time.time()
    session = console.reader().session(token)
    if session is None or session.expires < now or session.seen + IDLE_S < now:
        return None
    if in_use and session.seen + TOUCH_S < now:
        with (
            suppress(Problem, sqlite3.Error, StoreError),
            console.writer(session.account.name) as store,
        ):  # a busy database may stay so
            store.touch_session(token)
    return session


def close_session(console: Console, request: Request, response: Response) -> None:
    """Sign out: delete session and cookie."""
    secret = request.cookies.get(COOKIE)
    if secret:
        session = console.reader().session(digest(secret))
        if session is not None:
            with console.writer(session.account.name) as store:
                store.close_session(digest(secret))
                store.log_audit("sign out", account=session.account.id)
    response.delete_cookie(COOKIE, path="/", samesite="strict", httponly=True, secure=console.options.secure)


def make_token() -> tuple[str, bytes]:
    """A new API token, and what the database keeps of it."""
    secret = f"farsight_{secrets.token_urlsafe(32)}"
    return secret, digest(secret)


def find_token_account(console: Console, secret: str) -> Account | None:
    return console.reader().token_account(digest(secret))
