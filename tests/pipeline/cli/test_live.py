from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models import recognizer_card
from pipeline.cli import app, live
from pipeline.errors import SettingsError
from tests.watchlist.test_lookback import put
from watchlist.store import Store


def test_tracks_of_another_recogniser_are_not_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could search a folder that holds both."""
    monkeypatch.setattr(live.signal, "signal", lambda *_: None)
    people, seen = Store(tmp_path / "people.db"), Store(tmp_path / "out" / "farsight.db")
    digest = recognizer_card()["sha256"]
    people.add_enrolment(people.add_identity("Ada"), "a", "1", b"", np.ones(256, np.float32) / 16, digest, 0.9, 80.0)
    put(seen, range(1), recognizer="another", outcome="no_match", crop=None)
    people.close()
    seen.close()
    config = tmp_path / "live.yaml"
    config.write_text(f"""
cameras: [{{name: gate, url: "rtsp://127.0.0.1:1/none"}}]
watchlist: {tmp_path / "people.db"}
out: {tmp_path / "out"}
""")
    done = CliRunner().invoke(app, ["live", "--config", str(config)])
    assert isinstance(done.exception, SettingsError) and "holds tracks of another recogniser" in str(done.exception)
