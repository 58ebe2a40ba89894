"""``run.json``: no run's record is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.common import CONFIGS
from cli.settings import load_settings
from pipeline.engine import Status
from pipeline.errors import Interrupted, OutputError
from pipeline.monitoring.summary import begin_run, end_run, read_summary, write_summary

SETTINGS = load_settings(CONFIGS / "recording.yaml")


def ran(path: Path, **outcomes: int) -> None:
    begin_run(path)
    write_summary(path, SETTINGS, {}, Status(), {"all": 1.0}, outcomes, {"left_out": {}}, 4)


def runs(path: Path) -> list[dict[str, Any]]:
    found = json.loads(path.read_text())["runs"]
    assert all(run["started_at"] and run["command"] and run["versions"]["farsight"] for run in found)
    return found


def test_a_resume_keeps_the_record_of_the_run_before(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    ran(path, match=1)
    ran(path, match=3)
    first, second = runs(path)
    assert (first["outcomes"], second["outcomes"]) == ({"match": 1}, {"match": 3})
    assert first["settings"]["fpir"] == 0.01 and first["status"] == "finished" and first["exit_code"] == 4
    assert json.loads(path.read_text())["outcomes"] == {"match": 3}


@pytest.mark.parametrize(
    "error, status, code", [(Interrupted("stopped"), "interrupted", 130), (OutputError("disk full"), "failed", 4)]
)
def test_a_run_that_ends_early_says_why_and_keeps_the_last_result(
    tmp_path: Path, error: Exception, status: str, code: int
) -> None:
    path = tmp_path / "run.json"
    ran(path, match=1)
    begin_run(path)
    end_run(path, error)
    last = runs(path)[-1]
    assert (last["status"], last["reason"], last["exit_code"]) == (status, str(error), code)
    assert json.loads(path.read_text())["outcomes"] == {"match": 1}


def test_a_killed_run_is_on_the_list(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    begin_run(path)
    assert runs(path)[0]["status"] == "running"
    ran(path)
    assert [run["status"] for run in runs(path)] == ["killed", "finished"]


def test_the_record_of_a_version_without_a_list_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"command": ["farsight"], "outcomes": {"match": 7}, "versions": {"farsight": "0"}}))
    ran(path)
    assert [run["outcomes"] for run in json.loads(path.read_text())["runs"]] == [{"match": 7}, {}]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"runs": 3}', '{"runs": [1]}', "\x00"])
def test_a_damaged_record_is_kept_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(damage)
    ran(path)
    assert len(runs(path)) == 1 and (tmp_path / "run.damaged.json").read_text() == damage
    assert read_summary(tmp_path / "none.json") == {}
