import threading
from pathlib import Path

import pytest

from pipeline.batcher import Batcher
from pipeline.crash_counter import CrashCounter
from tests.fakes import Item


def test_records_of_many_callers_are_worked_on_together() -> None:
    sizes, delivered = [], []

    def work(batch: list) -> list:
        sizes.append(len(batch))
        return [x * 2 for x in batch]

    batcher = Batcher(work, list, lambda sent: delivered.extend(sent), size=8, wait_s=0.2, confirmers=2)
    threads = [threading.Thread(target=lambda i=i: batcher.submit([i]).result()) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(delivered) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert max(sizes) > 1


@pytest.mark.parametrize("where", ["work", "send", "confirm"])
def test_an_error_reaches_the_caller_and_the_next_one_is_served(where: str) -> None:
    fail = [True]

    def step(batch: list) -> list:
        if fail.pop() if fail else False:
            raise ValueError("no")
        return batch

    steps = [step if where == name else list for name in ("work", "send", "confirm")]
    batcher = Batcher(steps[0], steps[1], lambda sent: steps[2](sent) and None, size=1, wait_s=0, confirmers=1)
    with pytest.raises(ValueError, match="no"):
        batcher.submit([1]).result(5)
    batcher.submit([2]).result(5)


@pytest.mark.parametrize("where", ["work", "confirm"])
def test_one_bad_batch_is_no_harm_to_those_worked_on_with_it(where: str) -> None:
    sizes: list[int] = []

    def step(batch: list) -> list:
        sizes.append(len(batch))
        if 2 in batch:
            raise ValueError("two")
        return batch

    steps = {"work": list, "send": list, "confirm": lambda sent: None}
    steps[where] = step if where == "work" else lambda sent: step(sent) and None
    batcher = Batcher(steps["work"], steps["send"], steps["confirm"], size=3, wait_s=0.5, confirmers=2)
    futures = {n: batcher.submit([n]) for n in (1, 2, 3)}
    assert futures[1].result(5) == futures[3].result(5) == {}
    with pytest.raises(ValueError, match="two"):
        futures[2].result(5)
    assert max(sizes) == 3


def test_an_error_in_the_thread_itself_is_told_and_it_goes_on() -> None:
    batcher = Batcher(list, list, lambda sent: None, size=2, wait_s=float("inf"), confirmers=1)
    for _ in range(2):
        with pytest.raises(OverflowError):
            batcher.submit([1]).result(5)


def test_a_caller_that_does_not_wait_any_more_is_no_harm() -> None:
    batcher = Batcher(list, list, lambda sent: None, size=1, wait_s=0, confirmers=1)
    gone = [batcher.submit([n]) for n in range(50)]
    for future in gone:
        future.cancel()
    assert batcher.submit([1]).result(5) == {}


def test_the_record_that_has_killed_three_times_is_set_aside_and_suspects_are_tried_alone(tmp_path: Path) -> None:
    """As a worker finds it that was restarted for the third time."""
    before = CrashCounter(tmp_path / "s")
    before.begin("guilty", "suspect")  # worked on together
    before.begin("guilty.1")  # then one by one
    before.begin("guilty.1")
    crash_counter, worked = CrashCounter(tmp_path / "s"), []
    batcher = Batcher(lambda b: worked.append(b) or b, list, lambda sent: None, 8, 0.2, 2, crash_counter)
    records = [Item("a", "1", 1), Item("a", "2", 2), Item("b", "1", 3)]
    futures = {name: batcher.submit(records, name) for name in ("one", "guilty", "suspect", "two", "three")}
    results = {name: future.result(5) for name, future in futures.items()}
    assert results.pop("guilty") == {"guilty.1": {"a": 1}} and set(map(str, results.values())) == {"{}"}
    assert [len(b) for b in worked] == [3, 1, 1, 1, 1, 1, 6]  # one; what is left of guilty; suspect; two and three together
    assert crash_counter.crashes("suspect") == crash_counter.crashes("guilty") == crash_counter.crashes("suspect.1") == 0
    assert CrashCounter(tmp_path / "s").all_set_aside() == {"guilty.1": {"a": 1}}


def test_without_a_disk_to_count_on_work_goes_on(tmp_path: Path) -> None:
    crash_counter = CrashCounter(tmp_path / "none" / "below")
    batcher = Batcher(list, list, lambda sent: None, 8, 0.0, 2, crash_counter)
    assert batcher.submit([1], "a").result(5) == {} and crash_counter.all_set_aside() == {}
