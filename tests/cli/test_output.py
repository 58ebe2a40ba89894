"""What a run says at its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.common import CONFIGS
from cli.output import finish
from cli.settings import load_settings
from pipeline.engine import Job, Status
from tests.stages.test_annotate import PATH, row
from watchlist.store import Store


@pytest.mark.parametrize(("static", "said"), [(0, "2 not assessable. "), (2, "2 not assessable (2 static). ")])
def test_static_tracks_are_counted_on_the_console_and_in_run_json(
    static: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(tmp_path / "farsight.db")
    for number in range(3):
        outcome = "not_assessable" if number else "no_match"
        reasons = json.dumps(["static"] if static and number else ["low_quality: 0.05"])
        store.put_tracks([row(PATH, outcome) | {"track": f"x-000{number}", "name": None, "reasons": reasons}])
    settings = load_settings(CONFIGS / "recording.yaml")
    job = Job(settings.groups, [], {}, None, 5.0)
    assert finish(settings, job, Status(groups=[], sources=[]), store, tmp_path, {"all": 1.0}) == 0
    assert said in capsys.readouterr().out
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["static_tracks"] == static and run["outcomes"]["not_assessable"] == 2
