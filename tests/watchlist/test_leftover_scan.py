"""What was deleted is found wherever it is left, and nothing else is."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from watchlist import leftover_scan
from watchlist.leftover_scan import LeftoverScanner, find_salted, salted_sum

RNG = np.random.default_rng(0)
NAMES = [f"20261120T185130.{n % 1000:03d}Z-{n:09.2f}-{n:04d}".encode() for n in range(2000)]


def finder(names: list[bytes] = (), embeddings: list[bytes] = (), alive: set[bytes] = frozenset()) -> LeftoverScanner:
    return LeftoverScanner(names, embeddings, set(alive))


@pytest.mark.parametrize("place", [0, 1, 2, 3, 5, 40])
def test_a_deleted_name_is_found_at_any_position_of_a_file(place: int) -> None:
    assert finder(NAMES).scan_bytes(b"x" * place + NAMES[7] + b"yy") == {NAMES[7]}
    assert finder([b"short"]).scan_bytes(b"x" * place + b"short") == {b"short"}


def test_names_of_others_and_longer_names_are_no_trace() -> None:
    assert finder([b"gate-1000"], alive={b"gate-10001"}).scan_bytes(b"gate-10001") == set()
    assert finder([b"gate-1000"], alive={b"gate-10001"}).scan_bytes(b"gate-10002") == {b"gate-1000"}
    assert finder([b"gate-1000"], alive={b"gate-1000"}).scan_bytes(b"gate-1000") == set()
    assert finder([b"gate-1000"]).scan_bytes(b"gate-1001 hall-1000") == set()


@pytest.mark.parametrize("part", [slice(0, 512), slice(4, 300), slice(200, 512)])
def test_half_of_an_embedding_is_found(part: slice) -> None:
    blobs = [RNG.standard_normal(256).astype(np.float16).tobytes() for _ in range(50)]
    found = finder(embeddings=blobs[:25])
    assert found.scan_bytes(b"abc" + blobs[3][part] + b"xyz") and not found.scan_bytes(b"abc" + blobs[30])


def test_a_name_across_two_blocks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover_scan, "BLOCK_BYTES", 1000)
    for before in range(930, 1010, 7):
        (tmp_path / "f").write_bytes(b"." * before + NAMES[9] + b"." * 3000)
        assert finder(NAMES).scan_file(tmp_path / "f") == {NAMES[9]}
    (tmp_path / "f").write_bytes(b"." * 991 + b"gate-10001")
    assert finder([b"gate-1000"], alive={b"gate-10001"}).scan_file(tmp_path / "f") == set()


def test_a_salted_sum_finds_deleted_content_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftover_scan, "BLOCK_BYTES", 100)
    known = {(len(NAMES[5]), 7, salted_sum(NAMES[5], 7))}
    for before in range(60, 120, 7):
        (tmp_path / "f").write_bytes(b"z" * before + NAMES[5] + b"z" * 500)
        assert find_salted(tmp_path / "f", known) == known
    (tmp_path / "f").write_bytes(NAMES[6] * 20)
    assert find_salted(tmp_path / "f", known) == set()


def test_the_time_does_not_grow_with_the_number_of_names(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(RNG.bytes(8_000_000))
    took = []
    for count in (10, 100_000):
        found = finder([b"%09d-%09d" % (n, n) for n in range(count)])
        began = time.process_time()
        assert found.scan_file(tmp_path / "f") == set()
        took.append(time.process_time() - began)
    assert took[1] < 4 * took[0] + 0.5  # a search for each name would take ten thousand times as long
