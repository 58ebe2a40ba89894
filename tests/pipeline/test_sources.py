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
    assert [s.name for s in found] == ["cam", "cam-2", "cam-3", "10.0.0.1-554-live-1"]


def test_a_folder_without_video(tmp_path: Path) -> None:
    with pytest.raises(NothingReadError, match="no video in this folder") as caught:
        find_sources([str(tmp_path)])
    assert caught.value.exit_code == 3


def test_no_source_at_all() -> None:
    with pytest.raises(SettingsError):
        find_sources([])
