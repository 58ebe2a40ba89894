"""What the dashboard of cameras says: true rates, the cameras there are now."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from pipeline.engine import GroupStatus, Status
from pipeline.monitoring import progress
from pipeline.monitoring.progress import ProgressView
from pipeline.protocol import SourceReport


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def status(seconds: float, *cameras: str) -> Status:
    sources = [
        SourceReport(name, "", state=state, counts={"frames_searched": int(5 * seconds)})
        for name, _, state in (camera.partition("=") for camera in cameras)
    ]
    stage = {"batches": seconds, "records_in": 40 * seconds, "records_out": 40 * seconds, "busy_s": 0.25 * seconds}
    return Status([GroupStatus("faces", {"embed": stage})], sources)


def shown(view: ProgressView) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(view._live.get_renderable())
    return out.getvalue()


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=200)


def row(text: str, first: str) -> list[str]:
    return next(line for line in text.splitlines() if line.strip().startswith(first)).split()


def test_five_searched_a_second_are_shown_as_five(clock: list[float]) -> None:
    view = ProgressView("watching", terminal(), 1, endless=True)
    for look in range(40):
        clock[0] = 100 + look / 2
        view.update(status(look / 2, "gate=streaming"))
    assert row(shown(view), "gate")[2] == "5.0"
    assert row(shown(view), "faces")[4:6] == ["40.0", "25%"]
    view.update(status(0.0, "gate=streaming"))  # its actor was replaced, and counts from the beginning
    assert row(shown(view), "gate")[2] == "0.0"


def test_cameras_that_came_later_are_counted(clock: list[float]) -> None:
    view = ProgressView("watching", terminal(), 2, endless=True)
    view.update(status(1.0, "a=streaming", "b=backing off", "c=streaming"))
    assert "2 of 3 cameras streaming" in shown(view)


def test_figures_of_each_camera_are_a_column(clock: list[float]) -> None:
    view, seen = ProgressView("watching", terminal(), 2, endless=True), status(1.0, "gate=streaming", "hall=streaming")
    seen.figures["expected_false_alarms_a_day"] = {"gate": 2.4}
    view.update(seen)
    text = shown(view)
    assert "expected false alarms a day" in text and row(text, "gate")[-1] == "2.4" and row(text, "hall")[-1] == "0"
    assert "expected false alarms a day: 2.4" in view._position(seen)[2]
