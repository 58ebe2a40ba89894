"""Browser sessions and API tokens. Both are random secrets; the database holds only their SHA-256."""

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
MAX_AGE_S = 12 * 3600.0  # longest session: a working day
IDLE_S = 2 * 3600.0  # a session without a request for this long expires
TOUCH_S = 300.0  # least time between two updates of a session's last use


def digest(secret: str) -> bytes:
    """SHA-256 of a session or token secret."""
    return hashlib.sha256(secret.encode()).digest()


def open_session(console: Console, account: Account, response: Response) -> str:
    """Store a new session and set its cookie.

    Args:
        console: the console.
        account: the user.
        response: gets the cookie.

    Returns:
        The CSRF token of the session.
    """
    secret, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
    with console.writer(account.name) as store:
        store.open_session(account.id, digest(secret), csrf, time.time() + MAX_AGE_S)
        store.log_audit("sign in", account=account.id)
    response.set_cookie(
        COOKIE, secret, max_age=int(MAX_AGE_S), httponly=True, samesite="strict", secure=console.options.secure, path="/"
    )
    return csrf


def find_session(console: Console, request: Request, in_use: bool = True) -> Session | None:
    """Find the session of a request's cookie.

    Args:
        console: the console.
        request: the request.
        in_use: the request counts as use, so the session stays open. False for requests that a page repeats by itself.

    Returns:
        None if there is no cookie, or the session has ended or expired.
    """
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
        ):  # a busy database must not fail the request
            store.touch_session(token)
    return session


def close_session(console: Console, request: Request, response: Response) -> None:
    """Sign out: delete the session and its cookie."""
    secret = request.cookies.get(COOKIE)
    if secret:
        session = console.reader().session(digest(secret))
        if session is not None:
            with console.writer(session.account.name) as store:
                store.close_session(digest(secret))
                store.log_audit("sign out", account=session.account.id)
    response.delete_cookie(COOKIE, path="/", samesite="strict", httponly=True, secure=console.options.secure)


def make_token() -> tuple[str, bytes]:
    """Create an API token. Returns the secret, and the digest to store."""
    secret = f"farsight_{secrets.token_urlsafe(32)}"
    return secret, digest(secret)


def find_token_account(console: Console, secret: str) -> Account | None:
    """The account of an API token; None if the token is unknown or has expired."""
    return console.reader().token_account(digest(secret))
