"""Password hashes: argon2id with the default parameters of argon2-cffi (RFC 9106, low memory)."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MIN_LENGTH, MAX_LENGTH = 10, 1024  # characters
_HASHER = PasswordHasher()  # 64 MiB and 3 passes
_AT_A_TIME = threading.BoundedSemaphore(2)  # bounds the memory of parallel sign-ins
NOBODY = _HASHER.hash("nobody has this password")  # checked for unknown users, so that the answer takes equally long


def check_strength(password: str) -> None:
    """Raise ValueError if a password is shorter than `MIN_LENGTH` or longer than `MAX_LENGTH`."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ValueError(f"password: must have {MIN_LENGTH} to {MAX_LENGTH} characters")


def hash_password(password: str) -> str:
    """Hash a password. Raises ValueError as `check_strength`."""
    check_strength(password)
    with _AT_A_TIME:
        return _HASHER.hash(password)


def verify_password(hashed: str | None, password: str) -> bool:
    """Whether a password has this hash.

    Args:
        hashed: the stored hash; None for an unknown user: False, after the same time as for a wrong password.
        password: as typed.
    """
    with _AT_A_TIME:
        try:
            return _HASHER.verify(hashed or NOBODY, password[: MAX_LENGTH + 1]) and hashed is not None
        except (VerificationError, InvalidHashError):
            return False


def is_outdated(hashed: str) -> bool:
    """Whether a hash was made with other parameters than the current ones."""
    return _HASHER.check_needs_rehash(hashed)
