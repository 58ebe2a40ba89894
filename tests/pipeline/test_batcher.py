import threading

import pytest

from pipeline.batcher import Batcher


def test_records_of_many_callers_are_worked_on_together() -> None:
    sizes, delivered = [], []

    def work(batch: list) -> list:
        sizes.append(len(batch))
        return [x * 2 for x in batch]

    batcher = Batcher(work, list, delivered.extend, size=8, wait_s=0.2, confirmers=2)
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
    batcher = Batcher(*steps, size=1, wait_s=0, confirmers=1)
    with pytest.raises(ValueError, match="no"):
        batcher.submit([1]).result(5)
    batcher.submit([2]).result(5)
