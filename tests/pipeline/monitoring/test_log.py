import json

import pytest
import structlog

from pipeline.engine import GroupStatus, Status
from pipeline.monitoring.log import StatusLog, configure_log
from pipeline.protocol import SourceReport


def test_lines_are_json_without_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log()
    structlog.get_logger().error("camera", why="rtsp://joe:secret@10.0.0.1/x?token=abc: gone")
    said = json.loads(capsys.readouterr().err)
    assert said["event"] == "camera" and said["level"] == "error" and "10.0.0.1" in said["why"]
    assert "secret" not in said["why"] and "abc" not in said["why"]


def test_the_log_reports_only_changes() -> None:
    said: list[str] = []
    configure_log(said.append)
    changes = StatusLog()

    def told(state: str, reconnects: int, troubles: int) -> list[str]:
        said.clear()
        source = SourceReport("gate", "", state=state, counts={"reconnects": reconnects})
        changes.update(Status([GroupStatus("match", counters={"trouble: disk": troubles, "tracks": troubles})], [source]))
        return list(said)

    assert len(told("streaming", 0, 0)) == 1 and told("streaming", 0, 0) == []
    assert "reconnects=1" in told("streaming", 1, 0)[0]  # a flap between two looks is not lost
    assert "times=2" in told("streaming", 1, 2)[0] and told("streaming", 1, 2) == []
    changes.update(Status())
    assert "removed" in said[-1]
