"""Ten minutes of cameras over real RTSP: delay and memory must not grow, and a bad neighbour must do no harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evaluation.live import START_S, flap, make_film, measure
from tests.servers import needs_rtsp

MINUTES = float(os.environ.get("FARSIGHT_SOAK_MINUTES", "10"))
pytestmark = [pytest.mark.soak, needs_rtsp]


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_film(tmp_path_factory.mktemp("film"), 60 * MINUTES + START_S)


def test_eight_cameras_tell_within_two_seconds(film: tuple[Path, Path]) -> None:
    row = measure(*film, cameras=8, seconds=60 * MINUTES)
    print(row)
    assert row["alerts"] > MINUTES * 8 and row["delay_s"]["p95"] < 2.0
    early, late = row["delay_p95_halves_s"]
    assert late < 1.25 * early + 0.2
    assert row["memory_mb"][1] < 1.05 * row["memory_mb"][0] + 20
    assert row["stop_s"] < 10


def test_a_flapping_camera_harms_no_other(film: tuple[Path, Path]) -> None:
    row = flap(*film, seconds=60 * MINUTES)
    print(row)
    healthy, flapping = row["healthy"], row["flapping"]
    assert healthy["newer frame"] == healthy["reconnects"] == healthy["stalls"] == 0
    assert healthy["searched"] >= 0.99 * healthy["expected"]
    assert row["frames_again_after_s"]["p100"] < 5.0
    assert flapping["reconnects"] >= row["server_deaths"]
    assert row["memory_mb"][1] < 1.05 * row["memory_mb"][0] + 20
