"""From what the user names to what is read."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.checkpoints import file_stamp
from pipeline.errors import NothingReadError, SettingsError
from pipeline.protocol import SourceSpec
from pipeline.sources.find import EarlierSource, address_of, find_sources, reuse_names


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_files_folders_and_urls_are_named_by_what_tells_them_apart(tmp_path: Path) -> None:
    touched(tmp_path, "a/cam.mp4", "b/cam.MKV", "b/notes.txt")
    found = find_sources([str(tmp_path), str(tmp_path / "a" / "cam.mp4"), "rtsp://joe:secret@10.0.0.1:554/live/1"])
    assert [s.name for s in found] == ["a-cam", "b-cam", "10.0.0.1-554-live-1"]  # what is named twice is read once


def test_annotated_videos_of_an_earlier_run_are_no_sources(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp4", "annotated/b.mp4", "out/farsight.db", "out/annotated/a.mp4", "out/clip/c.mp4")
    assert [s.name for s in find_sources([str(tmp_path)])] == ["a", "annotated-b", "out-clip-c"]


def test_no_secret_of_a_url_is_in_its_name() -> None:
    url = "rtsp://10.0.0.2:554/user=admin_password=tlJ_wpbo6_channel=1_stream=0.sdp?real_stream"
    assert [s.name for s in find_sources([url])] == ["10.0.0.2-554-user-_password-_channel-1_stream-0.sdp"]


def test_a_folder_without_video_is_refused(tmp_path: Path) -> None:
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
def test_a_command_without_a_source_is_refused(named: list[str]) -> None:
    with pytest.raises(SettingsError, match="--source is missing"):
        find_sources(named)


@pytest.mark.parametrize("named", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_refused_before_it_is_opened(named: str) -> None:
    with pytest.raises(NothingReadError, match="a device or a socket, no recording"):
        find_sources([named])


def test_a_link_keeps_its_name_and_is_read_once(tmp_path: Path) -> None:
    touched(tmp_path, "store/ab12.mp4")
    (tmp_path / "gate.mp4").symlink_to(tmp_path / "store" / "ab12.mp4")
    assert [s.name for s in find_sources([str(tmp_path / "gate.mp4"), str(tmp_path / "store" / "ab12.mp4")])] == ["gate"]


# --- the same names again on a resume


def known(spec: SourceSpec) -> EarlierSource:
    return EarlierSource(spec.name, address_of(spec), file_stamp(spec.url))


def test_one_more_camera_renames_none_on_a_resume(tmp_path: Path) -> None:
    touched(tmp_path, "rec/gate/00.00.mp4")
    earlier = [known(s) for s in find_sources([str(tmp_path / "rec")])]
    assert [k.name for k in earlier] == ["00.00"]
    touched(tmp_path, "rec/arch/00.00.mp4", "rec/yard/00.00.mp4")
    names = [s.name for s in reuse_names(find_sources([str(tmp_path / "rec")]), earlier)]
    assert names == ["arch-00.00", "00.00", "yard-00.00"]


def test_a_new_source_never_takes_an_earlier_ones_name(tmp_path: Path) -> None:
    touched(tmp_path, "a/cam.mp4", "b/cam.mp4")
    earlier = [EarlierSource("cam", str(tmp_path / "a" / "cam.mp4")), EarlierSource("b-cam", "/gone/x.mp4")]
    with pytest.raises(SettingsError, match=r"b-cam was /gone/x.mp4 in the earlier run, now it is"):
        reuse_names(find_sources([str(tmp_path)]), earlier)
    one, other = reuse_names(find_sources([str(tmp_path / "a" / "cam.mp4"), str(tmp_path / "b" / "cam.mp4")])[::-1], earlier[:1])
    assert (one.name, other.name) == ("b-cam", "cam")


def test_a_signed_url_keeps_its_name_when_it_is_signed_anew() -> None:
    url = "https://store.example.org/rec/gate.mp4?X-Amz-Date=20261130T170000Z&X-Amz-Signature={}"
    (first,) = find_sources([url.format("abc")])
    assert first.name == "store.example.org-rec-gate.mp4"
    (again,) = reuse_names([replace(s, name="other") for s in find_sources([url.format("def")])], [known(first)])
    assert again.name == first.name
    two = find_sources(["http://h/get?channel=1", "http://h/get?channel=2"])  # a query that is no signature tells them apart
    assert [s.name for s in two] == ["h-get-channel-1", "h-get-channel-2"]
    assert [s.name for s in reuse_names(two[::-1], [known(s) for s in two])] == ["h-get-channel-2", "h-get-channel-1"]


def test_a_folder_that_was_moved_keeps_its_names_if_its_files_are_the_same(tmp_path: Path) -> None:
    touched(tmp_path, "old/cam.mp4")
    (tmp_path / "old" / "cam.mp4").write_bytes(b"video")
    earlier = [known(s) for s in find_sources([str(tmp_path / "old")])]
    (tmp_path / "old").rename(tmp_path / "new")
    assert [s.name for s in reuse_names(find_sources([str(tmp_path / "new")]), earlier)] == ["cam"]
    (tmp_path / "new" / "cam.mp4").write_bytes(b"another video")
    with pytest.raises(SettingsError, match=r"cam was .*old/cam.mp4 in the earlier run, now it is .*new/cam.mp4"):
        reuse_names(find_sources([str(tmp_path / "new")]), earlier)


def test_video_tracks_of_one_file_keep_their_names_apart() -> None:
    specs = [SourceSpec(f"cam-track{k + 1}", "/r/cam.mkv", (("track", str(k)),)) for k in range(2)]
    assert [s.name for s in reuse_names(specs[::-1], [known(s) for s in specs])] == ["cam-track2", "cam-track1"]
