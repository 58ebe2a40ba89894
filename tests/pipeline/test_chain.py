import pytest

from pipeline.chain import Chain
from pipeline.errors import SettingsError
from tests.fakes import Item, Pass, Sums


class Holds(Pass):
    def __init__(self) -> None:
        self.held: list[Item] = []

    def process(self, batch: list[Item]) -> list[Item]:
        self.held += batch
        return []

    def flush(self) -> list[Item]:
        held, self.held = self.held, []
        return held


def items(*values: int) -> list[Item]:
    return [Item("s", "t", v) for v in values]


def test_flush_passes_what_is_held_through_the_later_stages() -> None:
    chain = Chain([("holds", Holds()), ("sums", Sums())])
    assert chain.process(items(1, 2, 3)) == []
    assert [i.value for i in chain.flush()] == [1, 3, 6]
    assert [(m.records_in, m.records_out) for m in chain.metrics()] == [(3, 3), (3, 3)]


def test_state_goes_into_a_new_chain() -> None:
    first, second = (Chain([("sums", Sums())]) for _ in range(2))
    first.process(items(5, 6))
    second.restore(first.state())
    assert [i.value for i in second.process(items(1))] == [12]


def test_state_is_told_by_name_and_stages_of_one_name_do_not_mix() -> None:
    first, second = (Chain([("sums", Sums()), ("pass", Pass()), ("sums", Sums())]) for _ in range(2))
    first.process(items(5, 6))
    assert first.state() == {"sums": 11, "sums 2": 16}
    second.restore(first.state())
    assert second.state() == first.state()
    moved = Chain([("pass", Pass()), ("sums", Sums())])  # another graph: the state of one stage never reaches another
    with pytest.raises(SettingsError, match="checkpoint is of the stages sums, sums 2, here are sums"):
        moved.restore(first.state())
