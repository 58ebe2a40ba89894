"""Search files for deleted names and embeddings, in time that does not grow with their number.

Each deleted item has fragments of eight bytes: the end of a name, and three places of an embedding. Every position of a file is
compared with all fragments. A table over the first three bytes and a table over a hash of all eight reject nearly all positions.
The others are looked up in a sorted list, and names are then compared as a whole. A gigabyte takes about as long for one deleted
track as for a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from watchlist.sqlite_connection import read_beside_connections

FRAGMENT_BYTES = 8
BLOCK_BYTES = 1 << 22  # bytes read at once
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing (Knuth, TAOCP vol. 3, section 6.4)
MAX_NAME_BYTES = 512  # no name is longer
FRAGMENT_POSITIONS = (0.2, 0.5, 0.8)  # of an embedding: a half overwritten one still holds at least one fragment
MIN_DISTINCT_BYTES = 4  # fragments with fewer distinct bytes, such as zeros, occur everywhere and are left out


class EmbeddingFragments:
    """Fragments of deleted embeddings. It needs less memory than a list of the embeddings."""

    def __init__(self, embeddings: Iterable[bytes] = ()) -> None:
        self.fragments: set[bytes] = set()
        for blob in embeddings:
            self.add(blob)

    def add(self, blob: bytes) -> None:
        """Add an embedding, as the database stored it."""
        self.fragments.update(blob[at : at + FRAGMENT_BYTES] for at in _places(len(blob)))


class LeftoverScanner:
    """Finds deleted names and embeddings.

    Args:
        names: deleted names, in UTF-8. Names of less than `FRAGMENT_BYTES` bytes are searched for one by one.
        embeddings: deleted embeddings, as the database stored them.
        living_names: see `exclude`.
    """

    def __init__(
        self, names: Iterable[bytes], embeddings: Iterable[bytes] | EmbeddingFragments, living_names: set[bytes]
    ) -> None:
        pieces = embeddings if isinstance(embeddings, EmbeddingFragments) else EmbeddingFragments(embeddings)
        self._fragments = _keys(piece for piece in pieces.fragments if len(set(piece)) >= MIN_DISTINCT_BYTES)
        self._deleted_names = {name for name in names if name}
        self.exclude(living_names)

    def exclude(self, living_names: set[bytes]) -> None:
        """Do not report names that are still in use, nor a deleted name at the start of one that continues with digits."""
        self._living_names = living_names
        targets = self._deleted_names - living_names
        self._short = sorted(name for name in targets if len(name) < FRAGMENT_BYTES)
        self._names: dict[int, set[bytes]] = {}
        for name in targets:
            if len(name) >= FRAGMENT_BYTES:
                self._names.setdefault(len(name), set()).add(name)
        self._tails = _keys({name[-FRAGMENT_BYTES:] for group in self._names.values() for name in group})
        self._all = np.union1d(self._fragments, self._tails)
        self._first = np.zeros(1 << 24, bool)
        self._first[(self._all & 0xFFFFFF).astype(np.int64)] = True
        self._second = np.zeros(1 << 24, bool)
        self._second[_mixed(self._all)] = True

    def __bool__(self) -> bool:
        return bool(len(self._all) or self._short)

    def scan_file(self, path: Path) -> set[bytes]:
        """Names and fragments that occur in a file of any size. Raises OSError."""
        hits: set[bytes] = set()
        with read_beside_connections(path) as file:
            before = b""
            while block := file.read(BLOCK_BYTES):
                after = file.read(FRAGMENT_BYTES + 16)  # a name may cross the end of the block
                hits |= self.scan_bytes(before + block + after)
                before = (before + block + after)[-MAX_NAME_BYTES:]
        return hits

    def scan_bytes(self, content: bytes) -> set[bytes]:
        """Names and fragments that occur in these bytes."""
        hits = {name for short in self._short for name in self._short_in(content, short)}
        if len(content) < FRAGMENT_BYTES or not len(self._all):
            return hits
        places, keys = self._candidates(content)
        hits |= {int(key).to_bytes(FRAGMENT_BYTES, "little") for key in np.unique(keys[_member(keys, self._fragments)])}
        ends = places[_member(keys, self._tails)] + FRAGMENT_BYTES
        for length, names in self._names.items():
            fitting = ends[ends >= length]
            if len(fitting):
                hits |= self._names_in(content, fitting, length, names)
        return hits

    def _candidates(self, content: bytes) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Positions that both tables accept, and their eight bytes."""
        whole = np.frombuffer(content + bytes(FRAGMENT_BYTES), np.uint8)
        places = []
        for shift in range(4):
            words = np.frombuffer(content, "<u4", (len(content) - shift) // 4, shift)
            hits = np.flatnonzero(self._first[words & np.uint32(0xFFFFFF)])
            places.append(4 * hits + shift)
        at = np.concatenate(places).astype(np.int64)
        at = at[at <= len(content) - FRAGMENT_BYTES]
        windows = np.lib.stride_tricks.sliding_window_view(whole, FRAGMENT_BYTES)[at]
        keys = np.ascontiguousarray(windows).view("<u8")[:, 0]
        likely = self._second[_mixed(keys)]
        return at[likely], keys[likely]

    def _names_in(self, content: bytes, ends: NDArray[np.int64], length: int, names: set[bytes]) -> set[bytes]:
        whole = np.frombuffer(content, np.uint8)
        windows = np.lib.stride_tricks.sliding_window_view(whole, length)[ends - length]
        candidates = np.ascontiguousarray(windows).view(f"S{length}")[:, 0]
        found: set[bytes] = set()
        for name, first in zip(*(part.tolist() for part in np.unique(candidates, return_index=True)), strict=True):
            if name in names and (
                not self._longer(content, int(ends[first]), name)
                or not all(self._longer(content, int(end), name) for end in ends[candidates == name])
            ):
                found.add(name)
        return found

    def _short_in(self, content: bytes, name: bytes) -> Iterator[bytes]:
        at = content.find(name)
        while at >= 0:
            if not self._longer(content, at + len(name), name):
                yield name
                return
            at = content.find(name, at + 1)

    def _longer(self, content: bytes, end: int, name: bytes) -> bool:
        """Whether the name continues with digits to a name that is still in use."""
        more = end
        while more < len(content) and more - end < 16 and content[more : more + 1].isdigit():
            more += 1
            if name + content[end:more] in self._living_names:
                return True
        return False


def _places(length: int) -> list[int]:
    return [int(share * (length - FRAGMENT_BYTES)) for share in FRAGMENT_POSITIONS] if length >= FRAGMENT_BYTES else []


def _keys(fragments: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.unique(np.frombuffer(b"".join(fragments), "<u8"))


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Hash eight bytes to 24 bits."""
    return ((keys * HASH_MULTIPLIER) >> np.uint64(40)).astype(np.int64)


def _member(keys: NDArray[np.uint64], among: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each of ``keys`` is in ``among``, which is sorted."""
    if not len(among):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return np.asarray(among[at] == keys)


def salted_sum(content: bytes, salt: int) -> int:
    """A sum that identifies bytes without storing them."""
    return int((np.frombuffer(content, np.uint8).astype(np.uint64) * _weights(len(content), salt)).sum())


def find_salted(path: Path, known: set[tuple[int, int, int]]) -> set[tuple[int, int, int]]:
    """Those of ``known`` (length, salt and salted sum of some bytes) that occur in a file. Raises OSError."""
    hits: set[tuple[int, int, int]] = set()
    kinds = {(length, salt) for length, salt, _ in known}
    longest = max((length for length, _ in kinds), default=0)
    with read_beside_connections(path) as file:
        before = b""
        while block := file.read(BLOCK_BYTES):
            content = before + block
            for length, salt in kinds:
                hits |= {(length, salt, int(total)) for total in np.unique(_sums(content, length, salt))} & known
            before = content[-(longest - 1) :] if longest > 1 else b""
    return hits


def _weights(length: int, salt: int) -> NDArray[np.uint64]:
    return np.random.default_rng([salt, length]).integers(1, 1 << 63, length, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def _sums(content: bytes, length: int, salt: int) -> NDArray[np.uint64]:
    whole = np.frombuffer(content, np.uint8).astype(np.uint64)
    count = len(whole) - length + 1
    total = np.zeros(max(0, count), np.uint64)
    for place, weight in enumerate(_weights(length, salt) if count > 0 else []):
        total += whole[place : place + count] * weight
    return total
