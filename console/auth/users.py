"""Who asks: the user of a request, and what their role allows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from console.auth.csrf import check_csrf
from console.auth.sessions import find_session, find_token_account
from console.context import console_of
from console.problems import NotSignedIn, Problem
from watchlist.accounts import ROLES, Account
from watchlist.tracks import TrackFilter

Role = str  # one of ROLES
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class User:
    """The user of a request.

    Attributes:
        id: of the account; None for the anonymous reader of a console without accounts.
        name: is named in the audit log.
        role: ``viewer``, ``reviewer``, ``operator`` or ``admin``.
        cameras: names of the only sources this user sees; None: all.
        csrf: the token that writes of a browser must carry; None for API tokens and the anonymous reader.
    """

    id: int | None
    name: str
    role: Role
    cameras: tuple[str, ...] | None = None
    csrf: str | None = None

    @property
    def is_anonymous(self) -> bool:
        return self.id is None

    def may(self, role: Role) -> bool:
        """Whether this user's role includes another. Nobody anonymous may write, whatever the role."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, source: str) -> bool:
        """Whether this user may see a source."""
        return self.cameras is None or source in self.cameras

    def visible(self) -> TrackFilter:
        """The tracks this user may see."""
        return TrackFilter(sources=self.cameras)


ANONYMOUS = User(None, "anonymous", "viewer")


async def current_user(request: Request) -> User:
    """Dependency: the user of a request. Raises NotSignedIn."""
    known: User | None = getattr(request.state, "user", None)
    if known is None:
        known = request.state.user = await run_in_threadpool(find_user, request)
    return known


def find_user(request: Request, in_use: bool = True) -> User:
    """The user that a request's token or cookie names; ``in_use``: the session stays open for it. Raises NotSignedIn."""
    console = console_of(request)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and secret:
        account = find_token_account(console, secret.strip())
        if account is None:
            raise NotSignedIn("the API token is unknown or has expired; make one with `farsight user token`")
        return _user(account, None)
    session = find_session(console, request, in_use)
    if session is not None:
        return _user(session.account, session.csrf)
    if console.options.anonymous and not console.reader().has_accounts():
        return ANONYMOUS
    raise NotSignedIn


def _user(account: Account, csrf: str | None) -> User:
    return User(account.id, account.name, account.role, account.cameras, csrf)


async def check_role(request: Request, role: Role) -> User:
    """The user of a request, whose role includes ``role``. Reads nothing of the body. Raises Problem 401, 403."""
    user = await current_user(request)
    if user.is_anonymous and (request.method not in SAFE_METHODS or not user.may(role)):
        raise Problem(403, "An account is needed", "make one with `farsight user add NAME --role admin --db DIR`, then sign in")
    if not user.may(role):
        raise Problem(403, "Not allowed", f"this needs the role {role}; yours is {user.role}")
    return user


def require_all_cameras(user: User, what: str) -> None:
    """Refuse who may see some cameras only, for ``what`` tells of all. Raises Problem 403."""
    if user.cameras is not None:
        raise Problem(403, "Not allowed", f"{what} all cameras, and you may see some")


def require(role: Role) -> Callable[[Request], Awaitable[User]]:
    """Dependency: a user whose role includes ``role``. Every request that is no GET or HEAD also needs an account and, from a
    browser, the CSRF token.

    Example:
        >>> @router.post("/people")
        ... def add(user: Annotated[User, Depends(require("operator"))]) -> ...:
    """

    async def allowed(request: Request) -> User:
        user = await check_role(request, role)
        if request.method not in SAFE_METHODS:
            await check_csrf(request, user.csrf)
        return user

    allowed.role = role  # type: ignore[attr-defined]  # for tests that look at all routes
    return allowed
