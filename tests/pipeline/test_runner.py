"""Reading one source: checkpoints, stops, faults in the middle."""

import errno
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline.chain import Chain
from pipeline.checkpoints import file_stamp, pack_state
from pipeline.errors import OutputError, SourceError
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.runner import SourceRunner
from tests.fakes import Numbers, Sums, Ticks


class Collects:
    def __init__(self) -> None:
        self.batches: list[Any] = []

    def send(self, batch: list[Any]) -> None:
        self.batches.extend(batch)

    def when_written(self, action: Any) -> None:
        action()

    def drain(self) -> None:
        return

    def abandon(self) -> None:
        return

    def set_aside_count(self, source: str) -> int:
        return self.lost

    lost = 0


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
    assert one.run(SourceSpec("a", "9"), (4.0, pack_state(Chain([("sums", Sums())]).state(), "")), stop).status == "stopped"
    assert saved == []


def test_a_fault_in_the_middle_keeps_what_was_read() -> None:
    one, box, saved = runner(Breaks())
    report = one.run(SourceSpec("a", "9"), None, threading.Event())
    assert (report.status, report.reason) == ("incomplete", "the disk is gone")
    assert [i.value for i in box.batches] == [0, 1, 3] and saved[-1][3] is True


def test_open_tracks_end_where_a_stream_breaks_off() -> None:
    class Flaky(Numbers):
        def read(self) -> list[Any] | None:
            self.reads = getattr(self, "reads", 0) + 1
            return [] if self.reads in (1, 4) else super().read()

    class Keeps(Sums):
        """Gives what it gathered only when flushed."""

        def process(self, batch: list[Any]) -> list[Any]:
            self.total += len(batch)
            return []

        def flush(self) -> list[Any]:
            total, self.total = self.total, 0
            return [total] if total else []

    box = Collects()
    reader = SourceRunner(Flaky(), Chain([("keeps", Keeps())]), box, None, 1e9)
    assert reader.run(SourceSpec("a", "5"), None, threading.Event()).status == "ok"
    assert box.batches == [2, 3]


@pytest.mark.parametrize(("source", "flushed"), [(Numbers(), 0), (Ticks(0.0), 1)], ids=["a recording", "a camera"])
def test_stopped_early_only_a_camera_is_brought_to_its_end(source: Numbers, flushed: int) -> None:
    """A flush would make a video of the part that was drawn, which looks like the whole."""

    class Flushes(Sums):
        count = 0

        def flush(self) -> list[Any]:
            self.count += 1
            return []

    stage, stop = Flushes(), threading.Event()
    box = Collects()
    box.send = lambda batch: stop.set()  # type: ignore[method-assign]
    report = SourceRunner(source, Chain([("flushes", stage)]), box, None, 1e9).run(SourceSpec("a", "9"), None, stop)
    assert (report.status, stage.count) == ("stopped", flushed)


@pytest.mark.parametrize("growing", [False, True])
def test_a_report_says_which_file_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, growing: bool) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("9")
    file.touch()

    class Copied(Breaks):
        def read(self) -> list[Any] | None:
            if growing:
                file.write_text("more")
            return super().read()

    report: SourceReport = runner(Copied())[0].run(SourceSpec("a", "9"), None, threading.Event())
    assert report.status == "incomplete" and report.file == ("" if growing else file_stamp("9"))
    assert ("was written to while it was read" in report.reason) == growing


def test_a_file_that_grows_while_it_is_read_to_its_end_is_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("9").touch()

    class Recorded(Numbers):
        def read(self) -> list[Any] | None:
            Path("9").write_text("more")
            return super().read()

    report = runner(Recorded())[0].run(SourceSpec("a", "9"), None, threading.Event())
    assert (report.status, report.file) == ("incomplete", "") and "--resume" in report.reason


def test_a_stages_fault_fails_the_source_and_the_next_one_finds_it_as_new() -> None:
    class Breaks(Sums):
        """Cannot even be brought to its end."""

        def process(self, batch: list[Any]) -> list[Any]:
            if batch[0].value == 3:
                raise ZeroDivisionError("rtsp://joe:secret@h/ broke")
            return super().process(batch)

        def flush(self) -> list[Any]:
            if self.total == 3:
                raise KeyError("still broken")
            return super().flush()

        def open(self) -> None:
            self.total = 0

    box, saved = Collects(), []
    one = SourceRunner(Numbers(), Chain([("breaks", Breaks())]), box, lambda *c: saved.append(c), 0.0)
    report = one.run(SourceSpec("a", "9"), None, threading.Event())
    assert (report.status, report.reason) == ("failed", "fault in breaks at 3.0 s: ZeroDivisionError: rtsp://***@h/ broke")
    assert [i.value for i in box.batches] == [0, 1, 3] and not any(done for *_, done, _ in saved)  # a resume tries again
    assert one.run(SourceSpec("b", "2"), None, threading.Event()).status == "ok"
    assert [i.value for i in box.batches] == [0, 1, 3, 0, 1]  # the sum began anew


@pytest.mark.parametrize("error", [OutputError("no space"), sqlite3.OperationalError("locked"), OSError(errno.ENOSPC, "full")])
def test_an_error_that_no_source_can_survive_ends_the_run(error: Exception) -> None:
    class Full(Sums):
        def process(self, batch: list[Any]) -> list[Any]:
            raise error

    with pytest.raises(type(error)):
        SourceRunner(Numbers(), Chain([("full", Full())]), Collects(), None, 1e9).run(
            SourceSpec("a", "9"), None, threading.Event()
        )


def test_a_fault_while_a_source_is_opened_fails_that_source() -> None:
    class Odd(Numbers):
        def start(self, spec: SourceSpec, after_s: float | None) -> None:
            raise ValueError("odd")

    report = SourceRunner(Odd(), Chain([]), Collects(), None, 1e9).run(SourceSpec("a", "9"), None, threading.Event())
    assert (report.status, report.reason) == ("failed", "fault in its reader at 0.0 s: ValueError: odd")


def test_records_that_were_set_aside_make_a_source_incomplete() -> None:
    one, box, saved = runner(Numbers())
    box.lost = 2
    report = one.run(SourceSpec("a", "3"), None, threading.Event())
    assert report.status == "incomplete" and report.counts == {"records set aside": 2} and "2 records" in report.reason
    assert saved[-1][3] is True  # tried three times: a resume would lose them again
