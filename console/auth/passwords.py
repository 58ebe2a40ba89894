"""Password hashes: argon2id with the library's parameters (RFC 9106, low memory)."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH, MAX_LENGTH = 10, 1024  # characters
_HASHER = PasswordHasher()  # 64 MiB and 3 passes
_AT_A_TIME = threading.BoundedSemaphore(2)  # so that many sign-ins at once take no more memory than this
NOBODY = _HASHER.hash("nobody has this password")  # checked for unknown names, so that they take as long


def check_strength(password: str) -> None:
    """Raises ValueError for a password that is too short or too long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"password: must have {MIN_LENGTH} to {MAX_LENGTH} characters")


def hash_password(password: str) -> str:
    """Hash a password. Raises ValueError, see `check_strength`."""
    check_strength(password)
    with _AT_A_TIME:
        return _HASHER.hash(password)


def verify_password(hashed: str | None, password: str) -> bool:
    """Whether a password fits a hash. None, for an unknown user, takes as long as any other wrong password."""
    with _AT_A_TIME:
        try:
            return _HASHER.verify(hashed or NOBODY, password[: MAX_LENGTH + 1]) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(hashed: str) -> bool:
    """Whether a hash was made with weaker parameters than today's."""
    return _HASHER.check_needs_rehash(hashed)
