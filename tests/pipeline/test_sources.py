import os
from pathlib import Path

import pytest

from pipeline.errors import NothingReadError, SettingsError
from pipeline.sources import find_sources


def test_files_folders_and_urls_get_unique_names(tmp_path: Path) -> None:
    for name in ("a/cam.mp4", "b/cam.MKV", "b/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = find_sources([str(tmp_path), str(tmp_path / "a" / "cam.mp4"), "rtsp://joe:secret@10.0.0.1:554/live/1"])
    assert [s.name for s in found] == ["cam", "cam-2", "10.0.0.1-554-live-1"]  # what is named twice is read once


def test_annotated_videos_of_an_earlier_run_are_no_sources(tmp_path: Path) -> None:
    for name in ("a.mp4", "annotated/b.mp4", "out/farsight.db", "out/annotated/a.mp4", "out/clip/c.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [s.name for s in find_sources([str(tmp_path)])] == ["a", "b", "c"]


def test_no_secret_of_a_url_is_in_its_name() -> None:
    url = "rtsp://10.0.0.2:554/user=admin_password=tlJ_wpbo6_channel=1_stream=0.sdp?real_stream"
    assert [s.name for s in find_sources([url])] == ["10.0.0.2-554-user-_password-_channel-1_stream-0.sdp"]


def test_a_folder_without_video(tmp_path: Path) -> None:
    with pytest.raises(NothingReadError, match="no video in this folder") as caught:
        find_sources([str(tmp_path)])
    assert caught.value.exit_code == 3
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.mp4").touch()
    found = find_sources([str(tmp_path / "empty"), str(tmp_path / "a.mp4")])
    assert [s.name for s in found] == ["empty", "a"]  # the reader says what is wrong with the one, and reads the other


def test_a_pipe_is_a_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert [s.name for s in find_sources([str(tmp_path / "pipe")])] == ["pipe"]


@pytest.mark.parametrize("named", [[], [""], ["a.mp4", ""]])
def test_no_source_at_all(named: list[str]) -> None:
    with pytest.raises(SettingsError, match="--source is missing"):
        find_sources(named)
