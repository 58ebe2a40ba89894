"""Names for sources: the part of the path that differs, valid as file names, and the same again on a resume."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from pipeline.errors import as_text, redact_url

MAX_BYTES = 120  # of a name; most file systems allow 255 bytes, with suffixes
SIGNED = re.compile(
    r"x-(amz|goog|oss|cos|obs|bce)-.*|signature|sig|sign|expires?|expiry|exp|policy|key-pair-id|awsaccesskeyid|googleaccessid|ossaccesskeyid"
    r"|se|sp|sv|sr|st|spr|sip|skoid|sktid|skt|ske|sks|skv|.*token|hmac|hdn(ea|ts)|auth.*|nonce|timestamp|response-content-.*",
    re.IGNORECASE,
)
SIGNATURE = re.compile(r"x-\w+-signature|signature|sig|sign|.*token|hmac|hdn(ea|ts)|auth.*", re.IGNORECASE)


@dataclass(frozen=True)
class Address:
    """One thing to read.

    Attributes:
        url: as it is opened.
        parts: least number of trailing path parts in its name.
    """

    url: str
    parts: int = 1


def stable_url(url: str) -> str:
    """An address without credentials and without the parts of a signature, so that it stays the same when it is signed again."""
    shown = redact_url(url)
    if "://" not in url:
        return shown
    try:
        scheme, _, path, query, _ = urlsplit(url)
        place = urlsplit(shown).netloc
    except ValueError:  # a host that is none
        return shown
    pairs = parse_qsl(query, keep_blank_values=True)
    if any(SIGNATURE.fullmatch(key) for key, _ in pairs):
        pairs = [(key, value) for key, value in pairs if not SIGNED.fullmatch(key)]
        return redact_url(urlunsplit((scheme, place, path, urlencode(pairs), "")))
    return shown.partition("#")[0] if scheme in ("http", "https") else shown


def unique_names(addresses: list[Address], taken: Iterable[str] = ()) -> list[str]:
    """Make a unique name for each address.

    A name is the stem of the file, with as many folders before it as are needed to distinguish the sources. Names that are still
    equal (`a b.mp4` and `a_b.mp4`, long names that were cut) get a digest of the address, so that no name depends on the order.

    Args:
        addresses: what is to be named.
        taken: names that must not be used.
    """
    parts = [_parts(address.url) for address in addresses]
    whole = [_same("/".join(own)) for own in parts]
    reserved = {_same(name) for name in taken}
    depth = [min(address.parts, len(own)) for address, own in zip(addresses, parts, strict=True)]
    while True:
        names = [_join(own[-least:]) for own, least in zip(parts, depth, strict=True)]
        alike: dict[str, set[str]] = {name: {""} for name in reserved}
        for name, path in zip(names, whole, strict=True):
            alike.setdefault(_same(name), set()).add(path)
        deeper = [k for k, name in enumerate(names) if len(alike[_same(name)]) > 1 and depth[k] < len(parts[k])]
        if not deeper:
            break
        for k in deeper:
            depth[k] += 1
    names = [
        _suffixed(name, a.url) if often > 1 else name for name, a, often in zip(names, addresses, _often(names), strict=True)
    ]
    out: list[str] = []
    for name, address, often in zip(names, addresses, _often(names), strict=True):
        short = short_name(name, address.url, always=often > 1)
        while _same(short) in reserved:
            short = short_name(name, f"{short} {address.url}", always=True)
        reserved.add(_same(short))
        out.append(short)
    return out


def _often(names: list[str]) -> list[int]:
    """For each name, how many of the names equal it."""
    count = Counter(_same(name) for name in names)
    return [count[_same(name)] for name in names]


def short_name(name: str, address: str, always: bool = False) -> str:
    """A name of at most `MAX_BYTES` bytes. A longer one, or with ``always`` any, is cut in the middle and gets a digest of the
    address."""
    code = name.encode()
    if len(code) <= MAX_BYTES and not always:
        return name
    digest = hashlib.sha256(as_text(address).encode()).hexdigest()[:8]
    room = MAX_BYTES - len(digest) - 2
    if len(code) <= room:
        return f"{name}-{digest}"
    head, tail = code[: room // 2].decode(errors="ignore"), code[-(room // 2) :].decode(errors="ignore")
    return f"{head.rstrip('-.')}-{tail.lstrip('-.')}-{digest}"


def common_folder(paths: list[str]) -> str:
    """The deepest folder that holds all these files."""
    return os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120 - paths are text here


def _parts(url: str) -> list[str]:
    """The parts of a name: the folders and the stem of the file; for a URL its host and path as one part."""
    if "://" in url:
        return [_fit(unquote(_place_and_query(url)[0]))]
    path = PurePath(as_text(url))
    folders = [_fit(part) for part in path.parts[:-1] if part != path.anchor]
    return [*folders, _fit(path.stem)]


def _join(parts: list[str]) -> str:
    return "-".join(part for part in parts if part) or "source"


def _suffixed(name: str, url: str) -> str:
    """Add the suffix of the file or the query of the URL, for sources that differ in nothing else."""
    more = _fit(unquote(_place_and_query(url)[1]) if "://" in url else PurePath(as_text(url)).suffix)
    return f"{name}-{more}" if more else name


def _place_and_query(url: str) -> tuple[str, str]:
    """Host and path of a URL, and its query, without credentials and signature."""
    shown = re.sub(r"^[a-z][a-z0-9+.-]*://(\*\*\*@)?", "", stable_url(url), flags=re.IGNORECASE)
    place, _, query = shown.partition("?")
    return place, query


def _fit(text: str) -> str:
    """Replace everything but letters, digits, dots and dashes."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def _same(name: str) -> str:
    """The form in which file systems compare names that ignore case and the encoding of accents."""
    return unicodedata.normalize("NFC", name).casefold()
