"""Parses URLs with credentials. Passwords may contain @, / and # without percent-encoding."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

from pipeline.errors import SettingsError, redact_url

VARIABLE = re.compile(r"\$\{(\w+)\}")
SCHEME = re.compile(r"([a-z][a-z0-9+.-]*://)(.*)", re.IGNORECASE | re.DOTALL)
HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[\w.-]+)(:\d*)?(?=[/?#]|$)", re.IGNORECASE)
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
KEPT = "!$&'()*+,;=:~%"  # allowed in credentials; % begins a character that is encoded already


def expand_variables(text: str, key: str) -> str:
    """Replace each ${VARIABLE} in ``text``. Raises SettingsError if one is not set or holds a control character."""
    return VARIABLE.sub(lambda found: _value(found[1], key), text)


def expand_url(url: str, key: str) -> str:
    """Replace each ${VARIABLE} in an address and percent-encode its credentials.

    Raises:
        SettingsError: a variable is not set, or the @ that ends the password is ambiguous. The message names the setting ``key``.
    """
    found = SCHEME.fullmatch(url)
    end = None if found is None else _end_of_credentials(found[2], key)
    if found is None or end is None:  # none written out; a variable may hold a whole address
        return encode_credentials(expand_variables(url, key), key)
    credentials = VARIABLE.sub(lambda v: _encoded(_value(v[1], key)), found[2][:end])
    return encode_credentials(found[1] + credentials + expand_variables(found[2][end:], key), key)


def encode_credentials(url: str, key: str) -> str:
    """Percent-encode the credentials of an address. Characters that are encoded already stay as they are.

    Raises:
        SettingsError: the @ that ends the credentials is ambiguous. The message names the setting ``key``.
    """
    found = SCHEME.fullmatch(url)
    end = None if found is None else _end_of_credentials(found[2], key)
    if found is None or end is None:
        return url
    return found[1] + _encoded(found[2][:end]) + found[2][end:]


def _end_of_credentials(rest: str, key: str) -> int | None:
    """Position of the @ before the host, in an address without its scheme; None if it has no credentials."""
    later = [place for place, sign in enumerate(rest) if sign == "@" and HOST.match(rest, place + 1)]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    behind = [place for place in later if place > len(authority)]
    if "@" in authority:
        # A # and what follows is for browsers: before another @ it is part of a password.
        return behind[0] if behind and rest[len(authority)] == "#" else authority.rindex("@")
    if not behind:
        return None
    host = HOST.fullmatch(authority)
    if host is None or rest[len(authority)] == "#":  # "joe:pa" of joe:pa/ss@host is no host and port
        return behind[0]
    if host[2] is None or "." in host[1] or host[1].startswith("[") or host[1].lower() == "localhost":
        return None  # an @ in a path
    raise SettingsError(
        f"{key}: {redact_url('x://' + rest)[4:]!r} can be read in two ways; write a / or ? of the password as %2F or %3F, "
        "or the @ of the path as %40"
    )


def _encoded(credentials: str) -> str:
    return quote(re.sub(r"%(?![0-9a-f]{2})", "%25", credentials, flags=re.IGNORECASE), safe=KEPT)


def _value(name: str, key: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SettingsError(f"{key}: ${{{name}}} is not set in the environment")
    if CONTROL.search(value):
        raise SettingsError(f"{key}: ${{{name}}} holds a line break or another control character; set it without")
    return value
