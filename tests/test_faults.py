"""A fault in one recording, as the user of the command line sees it."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import yaml

from models import recognizer_card
from tests.clips import write_clip
from tests.running import ROOT, farsight
from watchlist.store import Store

pytestmark = pytest.mark.system


@pytest.fixture
def arguments(tmp_path: Path) -> list[object]:
    """A run over two clips, of which a stage from an installed package cannot stand one."""
    store = Store(tmp_path / "known.db")
    ada = store.add_identity("Ada")
    store.add_enrolment(ada, "a", "1", b"", np.ones(256, np.float32) / 16, recognizer_card()["sha256"], 0.9, 80.0)
    store.close()
    package = tmp_path / "site" / "faulty-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[farsight.stages]\nfaulty = tests.fakes:FaultIn\n")
    settings = yaml.safe_load((ROOT / "configs" / "recording.yaml").read_text())
    settings["groups"][0]["stages"].insert(0, {"use": "faulty"})
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    clips = [x for n in ("bad", "good") for x in ("--source", write_clip(tmp_path / f"{n}.mp4", [k / 10 for k in range(12)]))]
    out = ["--watchlist", tmp_path / "known.db", "--out", tmp_path / "out", "--config", tmp_path / "settings.yaml"]
    return ["run", *clips, *out, "--engine", "inline", "--no-video"]


def run(tmp_path: Path, *arguments: object) -> tuple[int, str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)])}
    done = farsight(*arguments, env=env, timeout=300)
    text = " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in text, text
    return done.returncode, text


def test_a_stages_fault_fails_its_recording_and_again_on_resume(tmp_path: Path, arguments: list[object]) -> None:
    for more in ([], ["--resume"]):
        code, text = run(tmp_path, *arguments, *more)
        assert code == 4 and "bad: failed: fault in faultin at 0.0 s: ZeroDivisionError: a fault" in text
        sources = json.loads((tmp_path / "out" / "run.json").read_text())["sources"]
        assert {s["name"]: s["status"] for s in sources} == {"bad": "failed", "good": "ok"}


def test_a_checkpoint_that_was_made_elsewhere_is_one_line_and_costs_nothing(tmp_path: Path, arguments: list[object]) -> None:
    """Of an older version, which pickled it, and of other settings; what was found before stays."""
    assert run(tmp_path, *arguments)[0] == 4
    database = sqlite3.connect(tmp_path / "out" / "farsight.db")
    url = database.execute("SELECT url FROM checkpoints WHERE source = 'good'").fetchone()[0]
    with database:
        database.execute("UPDATE checkpoints SET done = 0, state = ? WHERE source = 'good'", (pickle.dumps({0: (1, 2)}),))
    code, text = run(tmp_path, *arguments, "--resume")
    assert code == 2 and "the checkpoint is of another version of Farsight" in text
    held = database.execute("SELECT url, done FROM checkpoints WHERE source = 'good'").fetchone()
    assert held == (url, 0)
    database.close()
