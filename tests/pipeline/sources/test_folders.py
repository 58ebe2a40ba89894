"""What of a folder is read, and what is left out."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.sources.find import find_all
from pipeline.sources.folders import HIDDEN, OURS, TRASHED


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("content")


def look(path: Path) -> str:
    return "" if "video" in path.name else "no video"


def test_every_skipped_file_is_named_with_its_reason(tmp_path: Path) -> None:
    made(tmp_path, "a.mp4", "video without suffix", "video.bin", "notes.txt", "._a.mp4", ".hidden.mp4", ".Trash-1000/files/b.mp4")
    made(tmp_path, "$RECYCLE.BIN/c.mp4", "@eaDir/d.mp4", ".cache/e.mp4")
    (tmp_path / "empty.bin").touch()
    (tmp_path / "dead.mp4").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = find_all([str(tmp_path)], look)
    assert [Path(s.url).name for s in found.sources] == ["a.mp4", "video without suffix", "video.bin"]
    reasons = {Path(path).name: reason for path, reason in found.left_out.files}
    assert reasons == {
        "dead.mp4": "a link to nothing",
        "empty.bin": "an empty file",
        "notes.txt": "no video",
        "pipe.mp4": "a pipe, a socket or a device",
    }
    assert found.left_out.counted == {HIDDEN: 3, TRASHED: 3}


def test_linked_folders_are_followed_once_and_never_round(tmp_path: Path) -> None:
    made(tmp_path, "elsewhere/c.mp4", "rec/a.mp4")
    (tmp_path / "rec" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "rec" / "again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "rec" / "round").symlink_to(tmp_path / "rec")
    found = find_all([str(tmp_path / "rec")], look)
    assert [s.name for s in found.sources] == ["a", "again-c"]
    assert {Path(path).name for path, reason in found.left_out.files if "read already" in reason} == {"linked", "round"}


def test_the_output_of_an_earlier_run_is_no_source_and_no_long_list(tmp_path: Path) -> None:
    made(tmp_path, "a.mp4", "out/farsight.db", "out/run.json", "out/report.html", "out/annotated/a.mp4")
    made(tmp_path, "out/several-faces/1.png", "out/farsight.db.templates/0")
    made(tmp_path, *(f"out/crops/a/{k}-crop.png" for k in range(20)))
    found = find_all([str(tmp_path)], look)
    assert [s.name for s in found.sources] == ["a"]
    assert not found.left_out.files and found.left_out.counted == {OURS: 26}


def test_a_folder_or_file_that_is_named_is_read_even_if_it_is_hidden(tmp_path: Path) -> None:
    made(tmp_path, ".rec/a.mp4", ".b.mp4")
    assert [s.name for s in find_all([str(tmp_path / ".rec"), str(tmp_path / ".b.mp4")], look).sources] == ["a", "b"]


def test_the_same_file_under_two_names_is_read_once_and_told(tmp_path: Path) -> None:
    made(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    found = find_all([str(tmp_path)], look)
    assert [s.name for s in found.sources] == ["a"]
    assert found.left_out.files == [(str(tmp_path / "b.mp4"), f"the same file as {tmp_path / 'a.mp4'}")]
