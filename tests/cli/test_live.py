import socket
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cli import app, live
from models import recognizer_card
from pipeline.errors import SettingsError
from tests.running import farsight, refused
from tests.watchlist.test_search_back import put
from watchlist.alert_tables import Alert
from watchlist.store import Store

pytestmark = pytest.mark.system


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


def settings_file(tmp_path: Path, **more: object) -> Path:
    """Settings with a list of one person, which need no photo to be read."""
    people = Store(tmp_path / "people.db")
    digest = recognizer_card()["sha256"]
    people.add_enrolment(people.add_identity("Ada"), "a", "1", b"", np.ones(256, np.float32) / 16, digest, 0.9, 80.0)
    people.close()
    cameras = [{"name": "gate", "url": "rtsp://joe:s3cr#t@127.0.0.1:1/none?token=s3cr3t"}]
    given = {"cameras": cameras, "watchlist": str(tmp_path / "people.db"), "out": str(tmp_path / "out"), "engine": "inline"}
    (tmp_path / "live.yaml").write_text(yaml.safe_dump({**given, "metrics": {"port": 0}, **more}))
    return tmp_path / "live.yaml"


def test_a_metrics_port_in_use_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(
            2,
            f"metrics.port = {port}: Address already in use",
            "live",
            "--config",
            settings_file(tmp_path, metrics={"port": port}),
        )
    assert not (tmp_path / "out" / "farsight.db").exists()


def test_no_password_is_in_what_live_says_and_writes(tmp_path: Path) -> None:
    receivers = {"webhook": "http://joe:s3cr/t@127.0.0.1:1/x?key=s3cr3t", "mqtt": "mqtt://joe:s3cr?t@127.0.0.1:1/x"}
    store = Store(tmp_path / "out" / "farsight.db")
    store.put_alerts([Alert("k", "match", 1.0, "gate", "t", 1, "{}")], ["webhook", "mqtt"])  # so that both are tried
    store.close()
    config = settings_file(tmp_path, alerts={**receivers, "webhook_secret": "s3cr3t"})
    done = farsight("live", "--config", config, "--duration", "2")
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert "backing off" in told and "port is shut" in told and "webhook" in told and "mqtt" in told
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for text in (told.encode(), written):
        assert b"s3cr" not in text
