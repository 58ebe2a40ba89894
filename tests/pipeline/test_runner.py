"""Reading one source: checkpoints, stops, faults in the middle."""

import threading
from typing import Any

from pipeline.chain import Chain
from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from pipeline.runner import SourceRunner
from tests.fakes import Numbers, Sums


class Collects:
    def __init__(self) -> None:
        self.batches: list[Any] = []

    def send(self, batch: list[Any]) -> None:
        self.batches.extend(batch)

    def after_sent(self, action: Any) -> None:
        action()

    def drain(self) -> None:
        return


class Breaks(Numbers):
    """Fails at the fourth number."""

    def read(self) -> list[Any] | None:
        if self._next == 3:
            raise SourceError("the disk is gone")
        return super().read()


def runner(source: Numbers) -> tuple[SourceRunner, Collects, list[tuple]]:
    saved: list[tuple] = []
    box = Collects()
    return SourceRunner(source, Chain([("sums", Sums())]), box, lambda *c: saved.append(c), 0.0), box, saved


def test_a_checkpoint_and_the_rest_make_the_whole() -> None:
    whole, whole_box, saved = runner(Numbers())
    whole.run(SourceSpec("a", "9"), None, threading.Event())
    position, state = saved[4][2], saved[4][4]
    second, rest, _ = runner(Numbers())
    second.run(SourceSpec("a", "9"), (position, state), threading.Event())
    assert whole_box.batches[:5] + rest.batches == whole_box.batches


def test_stopped_before_anything_was_read_the_old_checkpoint_stays() -> None:
    one, _, saved = runner(Numbers())
    stop = threading.Event()
    stop.set()
    assert one.run(SourceSpec("a", "9"), (4.0, Chain([("sums", Sums())]).state()), stop).status == "stopped"
    assert saved == []


def test_a_fault_in_the_middle_keeps_what_was_read() -> None:
    one, box, saved = runner(Breaks())
    report = one.run(SourceSpec("a", "9"), None, threading.Event())
    assert (report.status, report.reason) == ("incomplete", "the disk is gone")
    assert [i.value for i in box.batches] == [0, 1, 3] and saved[-1][3] is True
