"""The Ray engine with stages that know no faces: order, back-pressure, deaths, errors, leftovers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.engine import Job, Status
from pipeline.errors import OutputError, SettingsError
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.ray import recordings as ray_engine
from pipeline.ray.environment import ray
from pipeline.ray.recordings import ASIDE, RayEngine, RayRun
from pipeline.settings import GroupSettings

pytestmark = pytest.mark.xdist_group("cluster")  # one after the other: a test looks for what others have left


@pytest.fixture(scope="module")
def engine() -> Iterator[RayEngine]:
    found = RayEngine()
    yield found
    found.close()
    assert not ray.is_initialized()


def groups(*stages: str, middle: dict | None = None) -> list[GroupSettings]:
    return [
        GroupSettings.model_validate({"name": "read", "source": {"use": "tests.fakes.Numbers"}, "stages": [{"use": stages[0]}]}),
        GroupSettings.model_validate(
            {"name": "work", "key": ["source", "track"], "stages": [{"use": stages[1]}], **(middle or {})}
        ),
        GroupSettings.model_validate({"name": "write", "stages": [{"use": s} for s in stages[2:]]}),
    ]


def run(engine: RayEngine, out: Path, graph: list[GroupSettings], counts: dict[str, str]) -> Status:
    job = Job(graph, [SourceSpec(k, v) for k, v in counts.items()], {"out": out}, out / "c.db", 0.0)
    return engine.run(job, lambda status: None)


def values(path: Path) -> list[int]:
    return [int(v) for v in path.read_text().split()]


def test_order_is_kept_per_key_over_replicas(engine: RayEngine, tmp_path: Path) -> None:
    graph = groups("tests.fakes.Sums", "tests.fakes.Pass", "tests.fakes.Lines", middle={"replicas": 2, "batch": 4})
    status = run(engine, tmp_path, graph, {"a": "60", "b": "30"})
    for source in "ab":
        for track in "012":
            found = values(tmp_path / f"{source}-{track}.txt")
            assert found == sorted(found)
    assert sum(len(values(p)) for p in tmp_path.glob("*.txt")) == 90
    assert status.groups[2].stages["lines"]["records_in"] == 90


def test_a_slow_group_slows_the_reader_and_nothing_is_lost(engine: RayEngine, tmp_path: Path) -> None:
    graph = groups("tests.fakes.Pass", "tests.fakes.Slow", "tests.fakes.Lines", middle={"queue": 2, "batch": 1})
    waiting: list[int] = []
    job = Job(graph, [SourceSpec("a", "40")], {"out": tmp_path}, None, 1e9)
    status = engine.run(job, lambda s: waiting.append(s.groups[0].queued))
    assert sum(len(values(p)) for p in tmp_path.glob("*.txt")) == 40
    assert max(waiting) <= 3  # as many in flight as there are credits, and one in hand
    assert status.groups[0].dropped == 0


def test_dropping_the_oldest_is_counted(engine: RayEngine, tmp_path: Path) -> None:
    graph = groups(
        "tests.fakes.Pass", "tests.fakes.Slow", "tests.fakes.Lines", middle={"queue": 1, "batch": 1, "full": "drop_oldest"}
    )
    status = run(engine, tmp_path, graph, {"a": "200"})
    written = sum(len(values(p)) for p in tmp_path.glob("*.txt"))
    assert written < 200
    assert written + status.groups[0].dropped == 200


@pytest.mark.parametrize("place", [0, 1, 2])
def test_any_killed_actor_is_replaced_and_nothing_is_lost(engine: RayEngine, tmp_path: Path, place: int) -> None:
    stages = ["tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines"]
    graph = groups(*stages)
    dying = GroupSettings.model_validate(
        {**graph[place].model_dump(), "stages": [{"use": "tests.fakes.DieOnce"}, {"use": stages[place]}]}
    )
    graph[place] = dying
    status = run(engine, tmp_path, graph, {"a": "30"})
    assert (tmp_path / "died").exists()
    seen = {v for p in tmp_path.glob("a-*.txt") for v in values(p)}
    assert seen == set(range(30))  # at least once each: writers are idempotent
    assert [s.status for s in status.sources] == ["ok"]


@pytest.mark.parametrize("place", [1, 2])
def test_a_batch_that_kills_every_worker_is_set_aside_and_the_rest_goes_on(
    engine: RayEngine, tmp_path: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = ["tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines"]
    graph = groups(*stages, middle={"batch": 4})
    dying = [{"use": "tests.fakes.DieAlways", "at": 20}, {"use": stages[place]}]
    graph[place] = GroupSettings.model_validate({**graph[place].model_dump(), "stages": dying})
    own = f"{os.getpid():07x}{place}"  # so that folders of runs beside this one are not looked at
    monkeypatch.setattr("pipeline.ray.recordings.uuid", SimpleNamespace(uuid4=lambda: SimpleNamespace(hex=own)))
    status = run(engine, tmp_path, graph, {"a": "30", "b": "15"})
    assert {v for p in tmp_path.glob("a-*.txt") for v in values(p)} == set(range(30)) - {20}
    assert {v for p in tmp_path.glob("b-*.txt") for v in values(p)} == set(range(15))
    found = {s.name: (s.status, s.counts.get("records set aside")) for s in status.sources}
    assert found == {"a": ("incomplete", 1), "b": ("ok", None)}
    assert status.groups[place].counters[ASIDE] == 1
    assert not list(Path(tempfile.gettempdir()).glob(f"farsight-{own}-*"))


@pytest.mark.parametrize("place", [0, 2])
def test_a_stages_fault_fails_its_source_and_the_others_go_on(engine: RayEngine, tmp_path: Path, place: int) -> None:
    stages = ["tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines"]
    graph = groups(*stages, middle={"batch": 8, "wait_ms": 50})  # records of both sources are worked on together
    faulty = [{"use": "tests.fakes.FaultIn"}, {"use": stages[place]}]
    graph[place] = GroupSettings.model_validate({**graph[place].model_dump(), "stages": faulty})
    status = run(engine, tmp_path, graph, {"bad": "30", "a": "30"})
    assert {s.name: s.status for s in status.sources} == {"bad": "failed", "a": "ok"}
    assert "fault in faultin at" in next(s.reason for s in status.sources if s.name == "bad")
    assert {v for p in tmp_path.glob("a-*.txt") for v in values(p)} == set(range(30))


@pytest.mark.parametrize("place", [0, 1])
def test_a_worker_that_dies_while_it_starts_is_replaced(engine: RayEngine, tmp_path: Path, place: int) -> None:
    stages = ["tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines"]
    graph = groups(*stages)
    dying = [{"use": "tests.fakes.DieOnOpen", "times": 2}, {"use": stages[place]}]
    graph[place] = GroupSettings.model_validate({**graph[place].model_dump(), "stages": dying})
    status = run(engine, tmp_path, graph, {"a": "20", "b": "20"})
    assert [s.status for s in status.sources] == ["ok", "ok"]
    assert {v for p in tmp_path.glob("a-*.txt") for v in values(p)} == set(range(20))


@pytest.mark.parametrize(("place", "said"), [(0, "no reader could start"), (1, "group work: its worker died 3 times")])
def test_a_worker_that_never_starts_is_one_line(engine: RayEngine, tmp_path: Path, place: int, said: str) -> None:
    graph = groups("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines")
    dying = [{"use": "tests.fakes.DieOnOpen", "times": 99}]
    graph[place] = GroupSettings.model_validate({**graph[place].model_dump(), "stages": dying})
    with pytest.raises(OutputError, match=said):
        run(engine, tmp_path, graph, {"a": "20"})


def test_an_error_for_the_user_arrives_as_it_was_raised(engine: RayEngine, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No space left"):
        run(engine, tmp_path, groups("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.FullDisk"), {"a": "5"})


def test_wrong_settings_are_told_before_anything_starts(engine: RayEngine, tmp_path: Path) -> None:
    graph = groups("tests.fakes.Pass", "tests.fakes.Picky", "tests.fakes.Lines")
    with pytest.raises(SettingsError, match="never fits"):
        run(engine, tmp_path, graph, {"a": "5"})
    graph[1] = GroupSettings.model_validate({**graph[1].model_dump(), "stages": [{"use": "tests.fakes.Picky", "late": True}]})
    with pytest.raises(SettingsError, match="cannot be opened"):
        run(engine, tmp_path, graph, {"a": "5"})
    graph[1] = GroupSettings.model_validate({"name": "work", "stages": [{"use": "tests.fakes.Pass"}], "gpus": 64})
    with pytest.raises(SettingsError, match="groups ask for 64 GPU"):
        run(engine, tmp_path, graph, {"a": "5"})


def test_a_bad_source_is_reported_and_the_others_go_on(engine: RayEngine, tmp_path: Path) -> None:
    status = run(engine, tmp_path, groups("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines"), {"bad": "x", "good": "3"})
    assert {s.name: s.status for s in status.sources} == {"bad": "failed", "good": "ok"}


class Killing:
    """In the place of Ray: each reader ends at once, in one of these ways after the other."""

    def __init__(self, *ways: SourceReport | Exception) -> None:
        self._ways = list(ways)

    def wait(self, refs: list, **keywords: object) -> tuple[list, list]:
        return refs, []

    def get(self, ref: object) -> SourceReport:
        way = self._ways.pop(0)
        if isinstance(way, Exception):
            raise way
        return way

    def kill(self, actor: object) -> None:
        return


@pytest.mark.parametrize("error", [ray.exceptions.OutOfMemoryError("no memory"), ray.exceptions.NodeDiedError("no node")])
def test_a_reader_killed_by_ray_is_replaced(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """For its memory, or with its node: neither is told as the death of an actor."""
    reader = SimpleNamespace(run=SimpleNamespace(remote=lambda *given: object()))
    graph = groups("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines")
    found = RayRun(Job(graph, [SourceSpec("a", "3")], {}, None, 1e9), lambda status: None)
    found.sources = [reader]
    monkeypatch.setattr(found, "_make_source", lambda: reader)
    monkeypatch.setattr(found, "_status", Status)
    for ways, reason in (
        ([error, SourceReport("a", "3")], ""),
        ([error] * 4, f"its reader died 4 times ({type(error).__name__})"),
    ):
        found.reports = []
        monkeypatch.setattr(ray_engine, "ray", Killing(*ways))
        found._read_all()
        assert [s.reason for s in found.reports] == [reason]


def test_a_worker_that_is_gone_for_good_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = RayRun(Job(groups("", "", ""), [SourceSpec("a", "3")], {}, None, 1e9), lambda status: None)

    def die() -> None:
        raise ray.exceptions.OutOfMemoryError("no memory\nkilled")

    monkeypatch.setattr(found, "_check", die)
    with pytest.raises(OutputError, match=r"a worker died \(OutOfMemoryError: killed\)"):
        found.run()
