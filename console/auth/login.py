"""Sign in with name and password, with lock-out."""

from __future__ import annotations

from fastapi import Request, Response

from console.auth import passwords
from console.auth.csrf import same_origin
from console.auth.lockout import check_lockout, subjects
from console.auth.sessions import open_session
from console.context import console_of
from console.problems import Problem
from watchlist.accounts import Account

MAX_NAME = 200  # characters


def client_address(request: Request) -> str:
    """IP address of the client; behind a proxy the last one in ``X-Forwarded-For``."""
    if console_of(request).options.behind_proxy:
        forwarded = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
        if forwarded:
            return forwarded[:100]
    return request.client.host if request.client else ""


def sign_in(request: Request, response: Response, name: str, password: str) -> tuple[Account, str]:
    """Check name and password, and open a session. It takes about 50 ms, so do not call it on the event loop.

    Args:
        request: the request.
        response: gets the session cookie.
        name: as typed.
        password: as typed.

    Returns:
        The account and the CSRF token of the session.

    Raises:
        Problem: 401 if name or password is wrong (the answer does not say which), 403 if the form comes from another site, 429
            while the name or the address is locked.
    """
    if not same_origin(request):
        raise Problem(403, "Not from this page", "the request comes from another site's page; open the console itself")
    console, account = console_of(request), check_password(request, name, password)
    if account is None:
        raise Problem(401, "Wrong name or password", "check both, and the caps lock key")
    return account, open_session(console, account, response)


def check_password(request: Request, name: str, password: str) -> Account | None:
    """Check name and password.

    Returns:
        The account; None if one of them is wrong. The audit log then gets a row.

    Raises:
        Problem: 429 while the name or the address is locked.
    """
    console, address, name = console_of(request), client_address(request), name[:MAX_NAME]
    with console.writer("nobody") as store, store.transaction():  # counted before the check, so that parallel guesses count, too
        check_lockout(store, name, address)
        store.count_failure(subjects(name, address))
    account = console.reader().find_account(name)
    if not passwords.verify_password(None if account is None else account.password, password) or account is None:
        with console.writer("nobody") as store:
            store.log_audit("sign in failed", account=None if account is None else account.id, address=address)
        return None
    with console.writer(account.name) as store:
        store.clear_failures(subjects(name, address))
        if passwords.is_outdated(account.password):
            store.rehash_password(account.id, passwords.hash_password(password))
    return account
