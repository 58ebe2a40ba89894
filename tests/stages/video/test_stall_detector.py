"""For how long a camera may be silent: what is learned from its own rate, and that only waiting counts."""

from __future__ import annotations

import pytest

from stages.video.stall_detector import MAX_CONNECT_S, MIN_STALL_S, SECOND_FRAME_S, StallDetector


def stall_detector(gaps: list[float], stall_s: float | None = None) -> StallDetector:
    """Of a camera whose frames came so far apart."""
    found, now = StallDetector(15.0, stall_s), 100.0
    found.begin()
    found.frame(now, 1)
    for number, gap in enumerate(gaps, 2):
        now += gap
        found.frame(now, number)
    return found


def seconds_until_given_up(found: StallDetector) -> float:
    waits = 1
    while not found.wait(0.2):
        waits += 1
    return waits * 0.2


@pytest.mark.parametrize(
    ("gaps", "limit"),
    [
        ([0.04] * 20, MIN_STALL_S),  # an ordinary camera
        ([10.0, 10.0], 40.0),  # a picture each ten seconds
        ([10.0], 40.0),
        ([0.1] * 5 + [7.0] + [0.1] * 5, MIN_STALL_S),  # one pause is not its rate
        ([0.1] * 5 + [7.0, 0.1, 7.0], 28.0),
        ([400.0, 400.0], 600.0),
        ([], SECOND_FRAME_S),  # nobody knows yet
    ],
)
def test_the_stall_limit_is_learned_from_the_cameras_frame_rate(gaps: list[float], limit: float) -> None:
    assert seconds_until_given_up(stall_detector(gaps)) == pytest.approx(limit, abs=0.3)


def test_a_configured_stall_limit_takes_precedence_over_the_learned_one() -> None:
    assert stall_detector([10.0] * 3, stall_s=5.0).limit_s == 5.0
    slow = StallDetector(15.0, 90.0)
    slow.begin()
    assert slow.limit_s == 90.0  # for the first frame as well


def test_frames_that_were_dropped_do_not_make_a_camera_slow() -> None:
    found = StallDetector(15.0, None)
    found.begin()
    for k in range(10):
        found.frame(20.0 * k, 200 * k + 1)  # ten a second, of which the machine takes one in twenty seconds
    assert found.limit_s == MIN_STALL_S


def test_a_camera_slower_than_the_limit_gets_more_time_at_each_attempt() -> None:
    found = StallDetector(15.0, None)
    limits = []
    for _ in range(4):
        found.begin()
        found.frame(0.0, 1)
        limits.append(found.limit_s)
        found.give_up()
    assert limits == [30.0, 60.0, 120.0, 240.0]
    for _ in range(9):
        found.begin()
        found.give_up()
    assert found.limit_s == MAX_CONNECT_S
    found.frame(0.0, 1)
    found.begin()
    assert found.limit_s == 15.0


def test_a_learned_stall_limit_survives_a_reconnect() -> None:
    found = stall_detector([12.0, 12.0])
    found.begin()
    assert found.limit_s == 48.0
    found.frame(1000.0, 1)
    assert found.limit_s == 48.0


def test_a_pause_of_the_whole_process_counts_as_one_second_of_silence() -> None:
    found = stall_detector([0.1] * 5)
    assert not found.wait(3600.0) and found.waited_s <= 1.0
