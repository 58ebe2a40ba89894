"""Damaged files of every kind: no traceback, no hang, no growth, and nothing that is lost is called ok."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.films import write_film
from tests.running import ROOT

KINDS: dict[str, dict[str, Any]] = {
    "mp4": {},
    "mkv": {},
    "avi": {"codec": "mpeg4"},
    "flv": {},
    "ts": {},
    "mpg": {"codec": "mpeg2video", "rate": 25},
    "webm": {"codec": "libvpx", "options": {"deadline": "realtime"}},
    "mjpeg": {"codec": "mjpeg", "pixels": "yuvj420p", "rate": 25},
    "h264": {},
    "asf": {"codec": "wmv2"},
    "mxf": {"codec": "mpeg2video", "rate": 25},
}
KNOW_THEIR_LENGTH = ("mp4", "mkv", "webm", "avi", "mxf")
SECONDS = 60.0
KILOBYTES = 1_200_000  # of which 200,000 are Python and its libraries


def fuzzed(folder: Path, suffix: str, seed: int, count: int) -> list[dict[str, Any]]:
    path = write_film(folder / f"a.{suffix}", **KINDS[suffix])
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_reader", str(path), str(seed), str(count)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 3 * count,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == count
    return told


def judge(told: dict[str, Any], suffix: str) -> None:
    rate = KINDS[suffix].get("rate", 10)
    times = told["times"]
    assert told["took_s"] < SECONDS and told["peak_kb"] < KILOBYTES, told
    assert times == sorted(set(times)) and told["status"] in ("ok", "incomplete", "failed", "refused"), told
    assert bool(told["reason"]) == (told["status"] != "ok"), told
    if told["status"] == "ok":
        assert times
        if suffix in KNOW_THEIR_LENGTH:
            assert len(times) / rate > 40 / rate - 0.75, told  # the slack that lengths of containers need
        assert all(b - a < 0.8 for a, b in itertools.pairwise(times)), told


@pytest.mark.parametrize("suffix", KINDS)
def test_damaged_files_end_in_a_named_error_and_never_in_a_wrong_success(tmp_path: Path, suffix: str) -> None:
    for told in fuzzed(tmp_path, suffix, 1, 12):
        judge(told, suffix)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", KINDS)
def test_many_damaged_files(tmp_path: Path, suffix: str) -> None:
    for told in fuzzed(tmp_path, suffix, 2, 400):
        judge(told, suffix)
