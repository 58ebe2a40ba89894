from pathlib import Path

from pipeline.engine import Job, Status
from pipeline.inline import InlineEngine
from pipeline.protocol import SourceSpec
from pipeline.settings import GroupSettings


def job(out: Path, counts: dict[str, str], resume: bool = False, stages: tuple[str, ...] = ("tests.fakes.Sums",)) -> Job:
    groups = [
        GroupSettings.model_validate(
            {"name": "read", "source": {"use": "tests.fakes.Numbers"}, "stages": [{"use": s} for s in stages]}
        ),
        GroupSettings.model_validate({"name": "write", "stages": [{"use": "tests.fakes.Lines"}]}),
    ]
    return Job(groups, [SourceSpec(k, v) for k, v in counts.items()], {"out": out}, out / "c.db", 0.0, resume)


def quiet(status: Status) -> None:
    return


def test_sources_one_after_another_each_with_fresh_stages(tmp_path: Path) -> None:
    status = InlineEngine().run(job(tmp_path, {"a": "4", "b": "2"}), quiet)
    assert (tmp_path / "a-0.txt").read_text() == "0\n6\n"  # sums 0, 1, 3, 6; track 0 has the 1st and 4th
    assert (tmp_path / "b-1.txt").read_text() == "1\n"  # the sum started anew
    assert [s.status for s in status.sources] == ["ok", "ok"]
    assert status.groups[0].stages["sums"]["records_in"] == 6


def test_a_bad_source_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    status = InlineEngine().run(job(tmp_path, {"bad": "x", "good": "1"}), quiet)
    assert [(s.status, s.reason) for s in status.sources] == [("failed", "not a number"), ("ok", "")]


def test_a_finished_source_is_not_read_again(tmp_path: Path) -> None:
    InlineEngine().run(job(tmp_path, {"a": "3"}), quiet)
    status = InlineEngine().run(job(tmp_path, {"a": "3", "b": "1"}, resume=True), quiet)
    assert [(s.name, s.position_s) for s in status.sources] == [("a", 2.0), ("b", 0.0)]
    assert (tmp_path / "a-0.txt").read_text() == "0\n"


def test_a_stages_fault_fails_its_source_and_the_others_go_on(tmp_path: Path) -> None:
    for resume in (False, True):
        sources = {"a": "2", "bad": "3", "b": "2"}
        status = InlineEngine().run(job(tmp_path, sources, resume, ("tests.fakes.Sums", "tests.fakes.FaultIn")), quiet)
        assert [(s.name, s.status) for s in status.sources] == [("a", "ok"), ("bad", "failed"), ("b", "ok")]
        assert status.sources[1].reason == "fault in faultin at 0.0 s: ZeroDivisionError: a fault"
    assert (tmp_path / "b-1.txt").read_text() == "1\n"
