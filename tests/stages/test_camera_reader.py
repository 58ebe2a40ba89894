"""Which pictures of a camera wait for a busy machine, and which are dropped."""

from __future__ import annotations

import pytest

from stages import camera_reader
from stages.camera_reader import BREATH, OVERRUN_S, Newest


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(camera_reader.time, "monotonic", lambda: now[0])
    return now


def take_all(newest: Newest) -> list[int]:
    newest.error = "the end"
    taken = []
    while (one := newest.take()) is not None:
        taken.append(one[0])
    return taken


def test_a_short_pause_loses_nothing(clock: list[float]) -> None:
    newest = Newest()
    for index in range(BREATH):
        newest.put(index)
    assert take_all(newest) == list(range(BREATH)) and newest.dropped == 0


def test_a_machine_that_does_not_keep_up_gets_the_newest_only(clock: list[float]) -> None:
    newest = Newest()
    for index in range(100):
        newest.put(index)
    assert take_all(newest) == [99] and newest.dropped == 99


def test_room_comes_back_after_a_time_without_drops(clock: list[float]) -> None:
    newest = Newest()
    for index in range(BREATH + 1):
        newest.put(index)
    clock[0] += OVERRUN_S
    newest.put(BREATH + 1)
    assert take_all(newest) == [BREATH, BREATH + 1] and newest.dropped == BREATH
