"""The user of a request, and what their role allows."""

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
        id: of the account; None: anonymous, in a console without accounts.
        name: name for the audit log.
        role: ``viewer``, ``reviewer``, ``operator`` or ``admin``; each includes those before it.
        cameras: names of the sources that the user may see; None: all.
        csrf: CSRF token of the session; None for API tokens and the anonymous user.
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
        """Whether this user's role includes ``role``. The anonymous user may not write, whatever the role (`check_role`)."""
        return ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, source: str) -> bool:
        """Whether this user may see a source, by name."""
        return self.cameras is None or source in self.cameras

    def visible(self) -> TrackFilter:
        """Filter of the tracks that this user may see."""
        return TrackFilter(sources=self.cameras)


ANONYMOUS = User(None, "anonymous", "viewer")


async def current_user(request: Request) -> User:
    """Dependency: the user of a request. Raises NotSignedIn."""
    known: User | None = getattr(request.state, "user", None)
    if known is None:
        known = request.state.user = await run_in_threadpool(find_user, request)
    return known


def find_user(request: Request, in_use: bool = True) -> User:
    """Find the user of a request by its API token or session cookie.

    Args:
        request: the request.
        in_use: the request counts as use of the session, see `find_session`.

    Raises:
        NotSignedIn: unknown or expired token or session, or no credentials where an account is needed.
    """
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
    """Return the user of a request if their role includes ``role``. The body is not read.

    Raises:
        Problem: 401 if nobody is signed in, 403 if the role does not allow the request.
    """
    user = await current_user(request)
    if user.is_anonymous and (request.method not in SAFE_METHODS or not user.may(role)):
        raise Problem(403, "An account is needed", "make one with `farsight user add NAME --role admin --db DIR`, then sign in")
    if not user.may(role):
        raise Problem(403, "Not allowed", f"this needs the role {role}; yours is {user.role}")
    return user


def require_all_cameras(user: User, what: str) -> None:
    """Refuse a user who may see only some cameras.

    Args:
        user: of the request.
        what: subject and verb of the message, such as ``the report covers``.

    Raises:
        Problem: 403.
    """
    if user.cameras is not None:
        raise Problem(403, "Not allowed", f"{what} all cameras, and your account may see only some")


def require(role: Role) -> Callable[[Request], Awaitable[User]]:
    """Make a FastAPI dependency: the user of the request, if their role includes ``role``.

    Requests other than GET, HEAD and OPTIONS also need an account and, from a browser, the CSRF token.

    Example:
        >>> @router.post("/people")
        ... def add(user: Annotated[User, Depends(require("operator"))]) -> ...:
    """

    async def allowed(request: Request) -> User:
        user = await check_role(request, role)
        if request.method not in SAFE_METHODS:
            await check_csrf(request, user.csrf)
        return user

    allowed.role = role  # type: ignore[attr-defined]  # a test checks the roles of all routes
    return allowed
