"""Errors a user can do something about. Each is shown as one line and ends the program with its exit code."""

from __future__ import annotations

import re

SCHEME = r"(\b[a-z][a-z0-9+.-]*://)"


class FarsightError(Exception):
    """Base of the errors meant for the user; ``exit_code`` follows the command-line contract."""

    exit_code = 1


class SettingsError(FarsightError):
    """A wrong argument or setting: says which key, which value, what is allowed."""

    exit_code = 2


class NothingReadError(FarsightError):
    """No source could be read at all."""

    exit_code = 3


class SourceError(FarsightError):
    """One source cannot be read (further); the others go on."""

    exit_code = 4


class OutputError(FarsightError):
    """Results cannot be written (disk full, no permission); what was written before is kept."""

    exit_code = 4


class Interrupted(FarsightError):
    """The user stopped the program."""

    exit_code = 130


def redact(text: str) -> str:
    """Replace the credentials of every URL in ``text`` by ``***``: what stands before its last @, and secrets in its path and
    query. A URL ends at the first space; see `redact_url`."""
    text = re.sub(SCHEME + r"\S*@", r"\1***@", text, flags=re.IGNORECASE)
    key = r"([?&/_;][^=&/;\s]*(?:user|pass|pwd|token|key|secret|auth|sign|credential)[^=&/;\s]*=)"
    value = r"[^&\s\"]+?(?=[_;][a-z]+=|[&\s\"]|$)"  # some cameras take them as /user=..._password=..._channel=1
    return re.sub(key + value, r"\1***", text, flags=re.IGNORECASE)


def redact_url(url: str) -> str:
    """`redact` for a text that is one URL, whose password may hold anything."""
    return redact(re.sub(SCHEME + ".*@", r"\1***@", url, flags=re.IGNORECASE | re.DOTALL))
