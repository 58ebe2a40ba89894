"""Cameras that come, go, change and die under a running engine; sources without faces, real actors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.engine import Job, Status
from pipeline.errors import SettingsError
from pipeline.protocol import SourceReport, SourceSpec
from pipeline.ray.live import RayLiveEngine, _LiveRun
from pipeline.ray.recordings import ASIDE
from pipeline.settings import GroupSettings
from tests.pipeline.ray.test_recordings import groups, values

# One after the other: a test looks for what others have left.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("cluster")]


def specs(**cameras: str) -> list[SourceSpec]:
    return [SourceSpec(name, url) for name, url in cameras.items()]


def graph(*stages: str) -> list[GroupSettings]:
    found = groups(*stages)
    source = {"name": "read", "source": {"use": "tests.fakes.Ticks"}, "stages": [{"use": stages[0]}], "cpus": 0.1}
    return [GroupSettings.model_validate(source), *found[1:]]


def play(out: Path, stages: list[GroupSettings], script: Callable[[RayLiveEngine, list], None], first: list) -> Status:
    """Run an engine while ``script`` changes the list of wanted cameras; ends when the script does."""
    wanted = [first]
    engine = RayLiveEngine(lambda: wanted[0], None)

    faults: list[BaseException] = []

    def act() -> None:
        try:
            script(engine, wanted)
        except BaseException as error:
            faults.append(error)
        finally:
            engine.stop()

    thread = threading.Thread(target=act)
    seen: list[Status] = []

    def watch(status: Status) -> None:
        seen.append(status)
        if len(seen) == 1:
            thread.start()

    try:
        final = engine.run(Job(stages, first, {"out": out}, None, 1e9), watch)
    finally:
        engine.close()
    thread.join()
    if faults:
        raise faults[0]
    return final


def wait_for(out: Path, name: str, more_than: int, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while max([v for p in out.glob(f"{name}-*.txt") for v in values(p)], default=-1) <= more_than:
        assert time.monotonic() < until, f"{name} did not get beyond {more_than}"
        time.sleep(0.05)


def test_cameras_come_go_and_change_without_touching_another(tmp_path: Path) -> None:
    def script(engine: RayLiveEngine, wanted: list) -> None:
        wait_for(tmp_path, "a", 5)
        wanted[0] = specs(a="0", b="1000")
        wait_for(tmp_path, "b", 1005)
        wanted[0] = specs(a="0", b="5000")  # changed
        wait_for(tmp_path, "b", 5005)
        wanted[0] = specs(a="0")
        time.sleep(2.0)

    final = play(tmp_path, graph("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines"), script, specs(a="0"))
    seen = sorted(v for p in tmp_path.glob("a-*.txt") for v in values(p))
    assert seen == list(range(len(seen))) and len(seen) > 50  # not one number of the camera that stayed is missing
    assert {s.name: (s.status, s.state) for s in final.sources} == {"a": ("stopped", "stopped")}


def test_a_camera_whose_actor_dies_comes_back_and_a_fault_is_survived(tmp_path: Path) -> None:
    stages = graph("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines")
    dying = [{"use": "tests.fakes.DieOnce"}, {"use": "tests.fakes.Poison"}]
    stages[0] = GroupSettings.model_validate({**stages[0].model_dump(), "stages": dying})

    def script(engine: RayLiveEngine, wanted: list) -> None:
        wait_for(tmp_path, "a", 20)  # DieOnce kills at 10; the new one begins at 0 again
        wanted[0] = specs(a="0", b="1000")
        wait_for(tmp_path, "b", 1003)  # Poison stops it there each time
        time.sleep(3.0)

        wanted[0] = specs(a="0", b="1001")  # changed while it waits to be tried again
        time.sleep(2.0)

    final = play(tmp_path, stages, script, specs(a="0"))
    counts = {s.name: s.counts for s in final.sources}
    assert counts["a"]["readers replaced"] == 1 and final.sources[0].state == "stopped" and "b" in counts
    assert (tmp_path / "died").exists()


def test_live_ends_after_its_duration_and_within_seconds_of_a_stop(tmp_path: Path) -> None:
    stages = graph("tests.fakes.Sums", "tests.fakes.Pass", "tests.fakes.Lines")
    engine = RayLiveEngine(lambda: specs(a="0"), 1.0)
    job = Job(stages, specs(a="0"), {"out": tmp_path}, None, 1e9)
    started = time.monotonic()
    assert engine.run(job, lambda status: None).sources[0].state == "stopped"
    assert time.monotonic() - started < 20
    engine._duration_s = None
    told_at: list[float] = []

    def stop() -> None:
        told_at.append(time.monotonic())
        engine.stop()

    threading.Timer(2.0, stop).start()
    engine.run(job, lambda status: None)
    assert time.monotonic() - told_at[0] < 8
    engine.close()


def test_a_stage_that_cannot_work_is_told_at_once(tmp_path: Path) -> None:
    stages = graph("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines")
    late = [{"use": "tests.fakes.Picky", "late": True}]
    stages[0] = GroupSettings.model_validate({**stages[0].model_dump(), "stages": late})
    engine = RayLiveEngine(lambda: specs(a="0"), 5.0)
    with pytest.raises(SettingsError, match="cannot be opened"):
        engine.run(Job(stages, specs(a="0"), {"out": tmp_path}, None, 1e9), lambda status: None)
    engine.close()


@pytest.mark.parametrize(
    ("state", "ends"), [("connecting", True), ("backing off", True), ("starting", False), ("stopped", False)]
)
def test_the_time_to_watch_begins_when_loading_is_over(monkeypatch: pytest.MonkeyPatch, state: str, ends: bool) -> None:
    """Also if no camera ever streams."""
    looks: list[float] = []
    stopping = threading.Event()
    watching = _LiveRun(Job(graph("", "", ""), specs(a="0"), {}, None, 1e9), lambda status: None, list, 0.05, stopping)

    def look(seconds: float) -> None:
        time.sleep(0.02)
        looks.append(seconds)
        if len(looks) == 20:
            stopping.set()

    monkeypatch.setattr(watching, "_look", look)
    monkeypatch.setattr(watching, "_status", lambda: Status([], [SourceReport("a", "0", state=state)]))
    monkeypatch.setattr(watching, "_end", lambda: None)
    watching._read_all()
    assert (len(looks) < 20) == ends


def test_a_batch_that_kills_every_worker_stalls_no_other_camera(tmp_path: Path) -> None:
    stages = graph("tests.fakes.Pass", "tests.fakes.Pass", "tests.fakes.Lines")
    dying = [{"use": "tests.fakes.DieAlways", "at": 1005}]
    stages[1] = GroupSettings.model_validate({**stages[1].model_dump(), "stages": dying})

    def script(engine: RayLiveEngine, wanted: list) -> None:
        wait_for(tmp_path, "a", 5)
        wanted[0] = specs(a="0", b="1000")
        wait_for(tmp_path, "b", 1030, 60)  # beyond the batch that kills
        seen = max(v for p in tmp_path.glob("a-*.txt") for v in values(p))
        wait_for(tmp_path, "a", seen + 20)

    final = play(tmp_path, stages, script, specs(a="0"))
    assert 1005 not in {v for p in tmp_path.glob("b-*.txt") for v in values(p)}
    assert next(g for g in final.groups if g.name == stages[1].name).counters[ASIDE] == 1
