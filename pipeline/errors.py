"""Errors that a user can correct. Each is shown as one line and ends the program with its exit code."""

from __future__ import annotations

import re

SCHEME = r"(\b[a-z][a-z0-9+.-]*://)"
SECRET = r"(?:user|usr|login|pas|psw|psd|pwd|token|key|secret|auth|sig|credential)"


class FarsightError(Exception):
    """Base of the errors meant for the user; ``exit_code`` follows the command-line contract."""

    exit_code = 1


class SettingsError(FarsightError):
    """A wrong argument or setting. The text names the key, its value and what is allowed."""

    exit_code = 2


class NothingReadError(FarsightError):
    """No source could be read at all."""

    exit_code = 3


class SourceError(FarsightError):
    """One source cannot be read, or not any further. The other sources continue."""

    exit_code = 4


class OutputError(FarsightError):
    """Results cannot be written (disk full, no permission). What was written before is kept."""

    exit_code = 4


class Interrupted(FarsightError):
    """The user stopped the program."""

    exit_code = 130


def redact(text: str) -> str:
    """Replace the credentials of every URL in a text by ``***``.

    Credentials are the user information before the last @ of the URL, and secrets in its path and query. A URL ends at the first
    space; see `redact_url` for passwords that contain spaces.
    """
    text = re.sub(SCHEME + r"\S*@", r"\1***@", text, flags=re.IGNORECASE)
    # Some cameras take them as /user=..._password=..._channel=1.
    inside = rf"([?&/_;][^=&/;\s]*{SECRET}[^=&/;\s]*=)[^&\"]+?(?=[_;][a-z]+=|[&\"]|[',.:)\]]*$)"
    text = re.sub(SCHEME + r"\S*", lambda url: re.sub(inside, r"\1***", url[0], flags=re.IGNORECASE), text, flags=re.IGNORECASE)
    return re.sub(rf"([?&][^=&\s]*{SECRET}[^=&\s]*=)(?!\*\*\*)[^&\s\"'<>]+", r"\1***", text, flags=re.IGNORECASE)


def redact_url(url: str) -> str:
    """Redact a single URL, whose password may contain any character, or a path, whose bytes may not be UTF-8."""
    return redact(re.sub(SCHEME + ".*@", r"\1***@", as_text(url), flags=re.IGNORECASE | re.DOTALL))


def as_text(path: str) -> str:
    """A path as printable text: bytes that are not UTF-8 become question marks."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
