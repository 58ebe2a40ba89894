"""Lock-out after failed sign-ins, by user name and by client address."""

from __future__ import annotations

import hashlib
import ipaddress
import time
import unicodedata

from console.problems import Problem
from watchlist.accounts import Accounts

FREE_FAILURES = {"name": 5, "address": 20}  # consecutive failures without a wait
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 900.0  # the wait doubles with each further failure


def subjects(name: str, address: str) -> list[str]:
    """The two keys by which failures are counted: the name and the address.

    The name is stored as a hash, because people sometimes type their password into its field.
    """
    typed = unicodedata.normalize("NFC", name).casefold()
    return [f"name:{hashlib.sha256(typed.encode()).hexdigest()}", f"address:{_network(address)}"]


def _network(address: str) -> str:
    """An IPv4 address, or the /64 network of an IPv6 address: one client usually owns all of it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))
    return str(found)


def check_lockout(store: Accounts, name: str, address: str) -> None:
    """Refuse a sign-in while its name or address is locked.

    Args:
        store: counts of failures.
        name: as typed.
        address: client address.

    Raises:
        Problem: 429 with ``Retry-After``.
    """
    wait = 0.0
    for subject in subjects(name, address):
        failures, last = store.failures(subject)
        over = failures - FREE_FAILURES[subject.partition(":")[0]]
        if over >= 0:
            wait = max(wait, last + min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(over, 10)) - time.time())
    if wait > 0:
        raise Problem(
            429, "Too many failed sign-ins", f"try again in {wait:.0f} seconds", {"retry-after": str(max(1, round(wait)))}
        )
