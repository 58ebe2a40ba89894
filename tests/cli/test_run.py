"""What ``run`` does around the engine: it forgets what will be made again and nothing else, and tells what went wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli import run
from cli.common import CONFIGS
from cli.output import finish, prepare_output
from cli.settings import Settings, load_settings
from models import recognizer_card
from pipeline.checkpoints import Checkpoints, file_stamp
from pipeline.engine import Job, Status, StatusCallback
from pipeline.errors import SettingsError
from pipeline.protocol import SourceReport, SourceSpec
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store


@pytest.fixture
def settings() -> Settings:
    return load_settings(CONFIGS / "recording.yaml", engine="inline")


@pytest.fixture
def clip(tmp_path: Path) -> SourceSpec:
    (tmp_path / "cam.mp4").write_bytes(b"half")
    return SourceSpec("cam", str(tmp_path / "cam.mp4"))


def seen(out: Path, **values: object) -> None:
    store = Store(out / "farsight.db")
    store.put_tracks([row(PATH) | values])
    store.close()


def test_a_resume_leaves_alone_what_a_live_camera_saw(tmp_path: Path, clip: SourceSpec) -> None:
    seen(tmp_path, started_at=1.7e9, ended_at=1.7e9 + 1)
    with pytest.raises(SettingsError, match="cam is a live camera in"):
        prepare_output(tmp_path, True, [clip])
    assert len(Store(tmp_path / "farsight.db").tracks()) == 1


@pytest.mark.parametrize("change", ["whole by now", "unchanged", "shorter by now", "out of reach"])
@pytest.mark.parametrize("status", ["ok", "incomplete"])
def test_a_file_is_read_again_when_it_has_grown(tmp_path: Path, clip: SourceSpec, change: str, status: str) -> None:
    seen(tmp_path)
    report = SourceReport(clip.name, clip.url, status, "readable to 1.0 s of 2.0 s", file=file_stamp(clip.url))
    checkpoints = Checkpoints(tmp_path / "farsight.db")
    checkpoints.save(clip.name, clip.url, 1.0, True, json.dumps(asdict(report)).encode())
    if change == "whole by now":
        Path(clip.url).write_bytes(b"half and half")
    elif change == "shorter by now":
        Path(clip.url).write_bytes(b"")
    elif change == "out of reach":
        Path(clip.url).unlink()
    store = prepare_output(tmp_path, True, [clip])
    again = change == "whole by now"
    assert (checkpoints.load(clip.name) is None) == again and (store.tracks() == []) == again


class Told:
    """An engine that keeps its jobs and gives the same reports for each."""

    def __init__(self, *reports: SourceReport) -> None:
        self.jobs: list[Job] = []
        self._reports = list(reports)

    def run(self, job: Job, watch: StatusCallback) -> Status:
        self.jobs.append(job)
        return Status([], self._reports)

    def close(self) -> None:
        return


def test_stages_are_told_whole_paths(
    tmp_path: Path, clip: SourceSpec, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers of a cluster run in another folder."""
    monkeypatch.chdir(tmp_path)
    Path("yunet.onnx").touch()
    people = Store(tmp_path / "people.db")
    digest = recognizer_card()["sha256"]
    people.add_enrolment(people.add_identity("Ada"), "a", "1", b"", np.ones(256, np.float32) / 16, digest, 0.9, 80.0)
    people.close()
    engine = Told(SourceReport(clip.name, clip.url))
    monkeypatch.setattr(run, "make_engine", lambda name: engine)
    settings.shared = {"detector": "yunet.onnx", "top_k": 3}
    assert run.run_recordings(run.RecordingRun(settings, [clip], Path("people.db"), Path("out"))) == 0
    told: dict[str, Any] = engine.jobs[0].context
    assert told["out"] == tmp_path / "out" and told["database"] == engine.jobs[0].checkpoints == tmp_path / "out" / "farsight.db"
    assert told["detector"] == str(tmp_path / "yunet.onnx") and told["top_k"] == 3


def test_what_went_wrong_with_drawing_is_told(clip: SourceSpec, settings: Settings) -> None:
    cut = SourceReport("cut", "", "incomplete", "readable to 1.0 s of 2.0 s")
    engine = Told(SourceReport("cam", "", "failed", "its reader died 4 times"), cut)
    read = Status([], [SourceReport("cam", ""), cut])
    sources = [clip, SourceSpec("cut", "cut.mp4")]
    assert run.draw_videos(engine, settings, sources, read, {}) == "cam: its reader died 4 times"


@pytest.mark.parametrize("since, total", [(None, 1100), (2e9, 1000)])
def test_the_final_line_and_run_json_count_every_track(
    tmp_path: Path, clip: SourceSpec, settings: Settings, since: float | None, total: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of a live run, whose report shows the last ones only."""
    store = Store(tmp_path / "farsight.db")
    one = row(PATH) | {"outcome": "no_match", "threshold": 0.9}
    before = [one | {"track": f"before {n}", "started_at": 1e9, "ended_at": 1e9} for n in range(100)]
    store.put_tracks(before + [one | {"track": str(n), "started_at": 2e9 + n, "ended_at": 2e9 + n} for n in range(1000)])
    job = Job(settings.groups, [clip], {}, None, 1e9)
    finish(settings, job, Status([], [SourceReport("cam", "")]), store, tmp_path, {"all": 1.0}, since and since + 900, since)
    assert f"{total} tracks " in capsys.readouterr().out
    assert sum(json.loads((tmp_path / "run.json").read_text())["outcomes"].values()) == total
