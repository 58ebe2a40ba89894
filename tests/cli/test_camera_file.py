"""The cameras of a settings file while the file changes under the program."""

import json
import os
from pathlib import Path

import pytest
import yaml

from cli.camera_file import CameraFile
from pipeline.errors import SettingsError
from pipeline.monitoring.log import configure_log

GRAPH = [{"name": "read", "source": {"use": "tests.fakes.Numbers"}}]
A, B = {"name": "a", "url": "rtsp://10.0.0.1/x"}, {"name": "b", "url": "rtsp://${USER_B}:${PASS_B}@10.0.0.2/x"}


@pytest.fixture
def log() -> list[dict]:
    said: list[dict] = []
    configure_log(said.append)
    return said


def write(path: Path, cameras: object, **more: object) -> None:
    path.write_text(yaml.safe_dump({"cameras": cameras, "watchlist": "w", "out": "o", "groups": GRAPH, **more}))
    os.utime(path, ns=(path.stat().st_mtime_ns, path.stat().st_mtime_ns + len(path.read_bytes())))


def test_cameras_are_followed_and_a_wrong_file_leaves_them(tmp_path: Path, log: list, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "live.yaml"
    write(path, [A])
    cameras = CameraFile(path)
    assert [s.name for s in cameras.requested()] == ["a"]
    monkeypatch.setenv("USER_B", "joe")
    monkeypatch.setenv("PASS_B", "secret")
    write(path, [{**A, "transport": "udp"}, B])
    first, second = cameras.requested()
    assert dict(first.options)["transport"] == "udp" and second.url == "rtsp://joe:secret@10.0.0.2/x"
    assert "added=['b']" in log[-1] and "changed=['a']" in log[-1]
    for wrong, why in (
        ([{**A, "speed": 3}], "unknown key 'cameras.0.speed'"),
        ([A, A], "used twice"),
        ([], "cameras is missing"),
        ([{"name": "c", "url": "${NO_SUCH}"}], "${NO_SUCH} is not set"),
    ):
        write(path, wrong)
        assert [s.name for s in cameras.requested()] == ["a", "b"]
        assert "settings kept" in log[-1] and why in log[-1]
        said = len(log)
        cameras.requested()
        assert len(log) == said  # said once, not at every look
    path.unlink()
    assert [s.name for s in cameras.requested()] == ["a", "b"]
    write(path, [A], fpir=0.002)
    assert [s.name for s in cameras.requested()] == ["a"]
    assert any("needs a restart" in line and "fpir" in line for line in log)
    assert "secret" not in json.dumps(log)


def test_a_file_that_is_wrong_at_first_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "live.yaml", [])
    with pytest.raises(SettingsError, match=r"live\.yaml: cameras is missing"):
        CameraFile(tmp_path / "live.yaml")


def test_sighup_reads_the_same_file_with_a_changed_environment(
    tmp_path: Path, log: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USER_B", "joe")
    monkeypatch.setenv("PASS_B", "old")
    write(tmp_path / "live.yaml", [B])
    cameras = CameraFile(tmp_path / "live.yaml")
    monkeypatch.setenv("PASS_B", "new")
    assert cameras.requested()[0].url == "rtsp://joe:old@10.0.0.2/x"
    cameras.request_reload()
    assert cameras.requested()[0].url == "rtsp://joe:new@10.0.0.2/x" and "changed=['b']" in log[-1]
    assert "new@" not in json.dumps(log)


def test_a_file_in_a_cameras_place_is_told_by_its_whole_path(tmp_path: Path, log: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "yard.mp4").touch()
    write(tmp_path / "live.yaml", [{"name": "clip", "url": "yard.mp4"}, {"name": "desk", "url": "/dev/video0"}])
    assert [s.url for s in CameraFile(tmp_path / "live.yaml").requested()] == [str(tmp_path / "yard.mp4"), "/dev/video0"]


def test_paths_may_begin_at_home_and_hold_variables(tmp_path: Path, log: list, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SITE", "north")
    (tmp_path / "yard.mp4").touch()
    path = tmp_path / "live.yaml"
    cameras = [{"name": "clip", "url": "~/yard.mp4"}, {"name": "same", "url": "${HOME}/yard.mp4"}]
    path.write_text(yaml.safe_dump({"cameras": cameras, "watchlist": "~/people", "out": "${HOME}/${SITE}", "groups": GRAPH}))
    found = CameraFile(path)
    assert (found.settings.watchlist, found.settings.out) == (f"{tmp_path}/people", f"{tmp_path}/north")
    assert [s.url for s in found.requested()] == [f"{tmp_path}/yard.mp4"] * 2
    assert "cameras of one address" in log[-1] and "'clip', 'same'" in log[-1]
    path.write_text(yaml.safe_dump({"cameras": cameras, "watchlist": "w", "out": "${NO_SUCH}", "groups": GRAPH}))
    with pytest.raises(SettingsError, match=r"^out: \$\{NO_SUCH\} is not set"):
        CameraFile(path)


def test_names_that_differ_by_case_only_are_refused(tmp_path: Path) -> None:
    """Their folders would be one on some disks, and nobody could tell them apart."""
    write(tmp_path / "live.yaml", [A, {**A, "name": "A"}])
    with pytest.raises(SettingsError, match=r"cameras: the names 'a' and 'A' differ by case only"):
        CameraFile(tmp_path / "live.yaml")


@pytest.mark.parametrize(
    ("name", "right"), [("gate-1", True), ("Tür.2", True), (".", False), ("..", False), ("a/b", False), ("", False)]
)
def test_a_cameras_name_is_a_folders_name(tmp_path: Path, name: str, right: bool) -> None:
    write(tmp_path / "live.yaml", [{**A, "name": name}])
    if right:
        CameraFile(tmp_path / "live.yaml")
        return
    with pytest.raises(SettingsError, match=r"cameras\.0\.name"):
        CameraFile(tmp_path / "live.yaml")
