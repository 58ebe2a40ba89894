"""Normalise names, and make text safe to display."""

from __future__ import annotations

import datetime
import os
import re
import unicodedata
from pathlib import Path

# Control characters of terminals, characters that change the direction of text, and surrogates, which no encoding can write.
UNSAFE_CHARACTERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def printable(text: str) -> str:
    """Replace control characters and surrogates, but keep line ends and tabs."""
    return UNSAFE_CHARACTERS.sub(lambda found: found[0] if found[0] in "\n\t" else REPLACEMENT, text)


def display_path(path: str | Path) -> str:
    """A path that can be stored and shown: control characters and bytes that are not UTF-8 are replaced."""
    return UNSAFE_CHARACTERS.sub(REPLACEMENT, os.fsencode(path).decode("utf-8", "replace"))


def normalised_name(text: str) -> str:
    """A person's name in Unicode form NFC, in which names are stored and compared.

    Raises:
        ValueError: the name is empty, or holds control characters or unassigned code points.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not name:
        raise ValueError("is empty")
    if UNSAFE_CHARACTERS.search(name):
        raise ValueError("holds a line break or another control character")
    if any(unicodedata.category(sign) in ("Cn", "Co") for sign in name):
        raise ValueError("holds a code point that is no character")
    return name


def is_date(text: str) -> bool:
    """Whether a text is a date like 2030-12-31."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
