import pickle

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


def test_a_checkpoint_may_not_bring_code() -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            import os

            return os.system, ("true",)

    evil = [
        pickle.dumps({0: Evil()}),
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cnumpy.testing._private.utils\nrunstring\n(S'1'\ntR.",
        b"cstages.record\njson_line\n(S'1'\ntR.",
        b"cut",
    ]
    for state in evil:
        with pytest.raises(SettingsError, match="checkpoint cannot be used"):
            Chain([("sums", Sums())]).restore(state)
