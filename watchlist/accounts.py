"""Accounts of the console: users, sessions, API tokens and failed sign-ins. Callers pass secrets as hashes."""

from __future__ import annotations

import json
import sqlite3
import time
import unicodedata
from dataclasses import dataclass

from watchlist.database import Database, StoreError
from watchlist.names import normalised_name

ROLES = ("viewer", "reviewer", "operator", "admin")  # each role includes the rights of the roles before it
MAX_CAMERA = 1000  # characters of a camera's or recording's name
FAILURE_MEMORY_S = 86_400.0  # failed sign-ins are forgotten after a day


@dataclass(frozen=True)
class Account:
    """A user of the console.

    Attributes:
        id: never reused.
        name: in Unicode form NFC.
        role: one of `ROLES`.
        cameras: names of the only sources that this user may see; None: all.
        password: argon2 hash.
        created: Unix time.
    """

    id: int
    name: str
    role: str
    cameras: tuple[str, ...] | None
    password: str
    created: float


@dataclass(frozen=True)
class Session:
    """A signed-in browser.

    Attributes:
        account: the user.
        csrf: token that requests which change something must carry.
        created, seen, expires: Unix times of the sign-in, of the last request, and of the expiry.
    """

    account: Account
    csrf: str
    created: float
    seen: float
    expires: float


@dataclass(frozen=True)
class ApiToken:
    """An API token, without its secret.

    Attributes:
        id: of the token.
        user: id of its user.
        label: free text.
        created: Unix time.
        expires: Unix time; None: never.
    """

    id: int
    user: int
    label: str
    created: float
    expires: float | None


class Accounts(Database):
    """The tables of the accounts. User ids are never reused."""

    def add_account(self, name: str, role: str, password: str, cameras: list[str] | None = None) -> int:
        """Add a user.

        Args:
            name: normalised to Unicode form NFC.
            role: one of `ROLES`.
            password: argon2 hash.
            cameras: names of the only sources that the user may see; None: all.

        Returns:
            The user's id.

        Raises:
            StoreError: the name is taken or unusable, the role is unknown, or a camera name is unusable.
        """
        try:
            name = normalised_name(name)
        except ValueError as error:
            raise StoreError(f"user {name!r}: the name {error}; give another") from None
        self._require_role(role)
        _require_text(cameras or [])
        with self.transaction():
            if self.find_account(name) is not None:
                raise StoreError(f"user {name}: there is one of this name already; choose another")
            made = self._db.execute(
                "INSERT INTO users (name, role, password, cameras, created) VALUES (?, ?, ?, ?, ?)",
                (name, role, password, None if cameras is None else json.dumps(sorted(cameras)), time.time()),
            )
            identity = int(made.lastrowid or 0)
            self.log_audit("user added", account=identity, role=role, cameras=cameras)
        return identity

    def _require_role(self, role: str) -> None:
        if role not in ROLES:
            raise StoreError(f"role {role}: must be one of {', '.join(ROLES)}")

    def find_account(self, name: str) -> Account | None:
        """Find a user by name, in any Unicode form; None if there is none."""
        kept = unicodedata.normalize("NFC", name)
        row = self._db.execute("SELECT * FROM users WHERE name = ? AND removed IS NULL", (kept,)).fetchone()
        return None if row is None else _account(row)

    def account(self, identity: int) -> Account | None:
        row = self._db.execute("SELECT * FROM users WHERE id = ? AND removed IS NULL", (identity,)).fetchone()
        return None if row is None else _account(row)

    def accounts(self) -> list[Account]:
        """All users, by name."""
        return [_account(row) for row in self._db.execute("SELECT * FROM users WHERE removed IS NULL ORDER BY name")]

    def has_accounts(self) -> bool:
        return self._db.execute("SELECT 1 FROM users WHERE removed IS NULL LIMIT 1").fetchone() is not None

    def set_password(self, identity: int, password: str) -> None:
        """Replace a user's password hash, and end all sessions of the user."""
        with self.transaction():
            self._db.execute("UPDATE users SET password = ? WHERE id = ?", (password, identity))
            self._db.execute("DELETE FROM sessions WHERE user = ?", (identity,))
            self.log_audit("user password", account=identity)

    def rehash_password(self, identity: int, password: str) -> None:
        """Store a new hash of an unchanged password, after the hash parameters have changed. Sessions stay."""
        self._db.execute("UPDATE users SET password = ? WHERE id = ?", (password, identity))

    def change_account(self, identity: int, role: str | None = None, cameras: list[str] | bool | None = False) -> None:
        """Change a user's role or cameras.

        Args:
            identity: id of the user.
            role: one of `ROLES`; None: unchanged.
            cameras: names of the only sources that the user may see; None: all; False: unchanged.

        Raises:
            StoreError: no such user, an unknown role, an unusable camera name, or no admin would be left.
        """
        with self.transaction():
            account = self._existing(identity)
            if role is not None:
                self._require_role(role)
                if role != "admin":
                    self._keep_an_admin(account)
                self._db.execute("UPDATE users SET role = ? WHERE id = ?", (role, identity))
            if not isinstance(cameras, bool):
                _require_text(cameras or [])
                kept = None if cameras is None else json.dumps(sorted(cameras))
                self._db.execute("UPDATE users SET cameras = ? WHERE id = ?", (kept, identity))
            now = self._existing(identity)
            self.log_audit("user changed", account=identity, role=now.role, cameras=now.cameras)

    def remove_account(self, identity: int) -> None:
        """Remove a user with sessions and tokens.

        Raises:
            StoreError: no such user, or it is the last admin and there are other users.
        """
        with self.transaction():
            account = self._existing(identity)
            if len(self.accounts()) > 1:
                self._keep_an_admin(account)
            self._db.execute("DELETE FROM sessions WHERE user = ?", (identity,))
            self._db.execute("DELETE FROM tokens WHERE user = ?", (identity,))
            self._db.execute("UPDATE users SET removed = ?, password = '' WHERE id = ?", (time.time(), identity))
            self.log_audit("user removed", account=identity)

    def _existing(self, identity: int) -> Account:
        account = self.account(identity)
        if account is None:
            raise StoreError(f"user {identity}: there is none with this ID")
        return account

    def _keep_an_admin(self, leaving: Account) -> None:
        if leaving.role == "admin" and not any(a.role == "admin" and a.id != leaving.id for a in self.accounts()):
            raise StoreError(f"user {leaving.name}: is the only admin; make another one first")

    def open_session(self, user: int, token: bytes, csrf: str, expires: float) -> None:
        """Store a session, and delete expired ones.

        Args:
            user: id of the user.
            token: SHA-256 of the session token.
            csrf: token that requests which change something must carry.
            expires: Unix time.
        """
        now = time.time()
        with self.transaction():
            self._db.execute("DELETE FROM sessions WHERE expires < ?", (now,))
            self._db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)", (token, user, csrf, now, now, expires))

    def session(self, token: bytes) -> Session | None:
        """Find a session by the SHA-256 of its token, expired or not; None if there is none."""
        row = self._db.execute(
            "SELECT u.*, s.csrf, s.created AS opened, s.seen, s.expires FROM sessions s JOIN users u ON u.id = s.user "
            "WHERE s.token = ? AND u.removed IS NULL",
            (token,),
        ).fetchone()
        return None if row is None else Session(_account(row), row["csrf"], row["opened"], row["seen"], row["expires"])

    def touch_session(self, token: bytes) -> None:
        self._db.execute("UPDATE sessions SET seen = ? WHERE token = ?", (time.time(), token))

    def close_session(self, token: bytes) -> None:
        self._db.execute("DELETE FROM sessions WHERE token = ?", (token,))

    def add_token(self, user: int, label: str, token: bytes, expires: float | None = None) -> int:
        """Store an API token.

        Args:
            user: id of the user.
            label: free text.
            token: SHA-256 of the secret.
            expires: Unix time; None: never.

        Returns:
            The token's id.

        Raises:
            StoreError: no such user.
        """
        with self.transaction():
            self._existing(user)
            made = self._db.execute(
                "INSERT INTO tokens (user, label, token, created, expires) VALUES (?, ?, ?, ?, ?)",
                (user, label, token, time.time(), expires),
            )
            identity = int(made.lastrowid or 0)
            self.log_audit("token added", account=user, token=identity)
        return identity

    def tokens(self, user: int | None = None) -> list[ApiToken]:
        rows = self._db.execute(
            "SELECT id, user, label, created, expires FROM tokens WHERE ?1 IS NULL OR user = ?1 ORDER BY id", (user,)
        )
        return [ApiToken(*row) for row in rows]

    def token_account(self, token: bytes) -> Account | None:
        """The user whose API token has this SHA-256; None if there is none or it has expired."""
        row = self._db.execute(
            "SELECT u.* FROM tokens t JOIN users u ON u.id = t.user "
            "WHERE t.token = ? AND u.removed IS NULL AND (t.expires IS NULL OR t.expires > ?)",
            (token, time.time()),
        ).fetchone()
        return None if row is None else _account(row)

    def remove_token(self, identity: int, user: int | None = None) -> bool:
        """Delete an API token; with ``user`` only if it is that user's. Returns whether a token was deleted."""
        with self.transaction():
            done = self._db.execute("DELETE FROM tokens WHERE id = ?1 AND (?2 IS NULL OR user = ?2)", (identity, user))
            if done.rowcount:
                self.log_audit("token removed", token=identity)
        return bool(done.rowcount)

    def failures(self, subject: str) -> tuple[int, float]:
        """Number of failed sign-ins in a row, and Unix time of the last one, for a subject: a user name or an address."""
        row = self._db.execute("SELECT failures, last FROM login_failures WHERE subject = ?", (subject,)).fetchone()
        return (0, 0.0) if row is None or row[1] < time.time() - FAILURE_MEMORY_S else (int(row[0]), float(row[1]))

    def count_failure(self, subjects: list[str]) -> None:
        now = time.time()
        with self.transaction():
            self._db.execute("DELETE FROM login_failures WHERE last < ?", (now - FAILURE_MEMORY_S,))
            self._db.executemany(
                "INSERT INTO login_failures VALUES (?, 1, ?) "
                "ON CONFLICT (subject) DO UPDATE SET failures = failures + 1, last = excluded.last",
                [(subject, now) for subject in subjects],
            )

    def clear_failures(self, subjects: list[str]) -> None:
        self._db.executemany("DELETE FROM login_failures WHERE subject = ?", [(subject,) for subject in subjects])


def _require_text(cameras: list[str]) -> None:
    """Raise StoreError for names that no camera can have."""
    for name in cameras:
        if not name or len(name) > MAX_CAMERA or not name.isprintable():
            raise StoreError(f"camera {name[:40]!r}: is no name of a camera or recording")


def _account(row: sqlite3.Row) -> Account:
    cameras = None if row["cameras"] is None else tuple(json.loads(row["cameras"]))
    return Account(int(row["id"]), str(row["name"]), str(row["role"]), cameras, str(row["password"]), float(row["created"]))
