"""Names of sources."""

from __future__ import annotations

import unicodedata

import pytest

from pipeline.sources.naming import MAX_BYTES, Address, stable_url, unique_names


def names(*urls: str, parts: int = 1) -> list[str]:
    return unique_names([Address(url, parts) for url in urls])


def test_the_camera_of_a_tree_of_days_hours_and_cameras_is_in_the_name() -> None:
    files = [f"/rec/{place}.mp4" for place in ("30/17/gate/00.00", "30/18/gate/00.00", "30/17/yard/10.00")]
    assert names(*files, parts=3) == ["17-gate-00.00", "18-gate-00.00", "17-yard-10.00"]
    assert names(*files) == ["17-gate-00.00", "18-gate-00.00", "10.00"]  # named one by one, only as much as is needed


def test_files_that_differ_in_their_suffix_alone() -> None:
    assert names("/r/cam.mp4", "/r/cam.mkv", "/r/door.mp4") == ["cam-mp4", "cam-mkv", "door"]


def test_long_names_are_cut_by_bytes_without_collisions_and_on_whole_letters() -> None:
    found = names(*(f"/r/{'é' * 120}{k}.mp4" for k in range(50)))
    assert len(set(found)) == 50 and all(len(name.encode()) <= MAX_BYTES for name in found)
    assert all("�" not in name for name in found)


def test_no_two_names_are_one_file_on_a_disk_that_ignores_case_or_accents() -> None:
    jose = "José"
    two = [unicodedata.normalize(form, jose) for form in ("NFC", "NFD")]
    for urls in (("/r/Cam.mp4", "/r/cam.mp4"), tuple(f"/r/{name}.mp4" for name in two), ("/r/a b.mp4", "/r/a?b.mp4")):
        found = names(*urls)
        assert len({unicodedata.normalize("NFC", name).casefold() for name in found}) == 2
        assert found == names(*urls[::-1])[::-1]  # whatever their order


@pytest.mark.parametrize("url", ["/r/....mp4", "/...", "/r/\n.mp4", "/r/\x1b[31m.mp4", "/", "rtsp://", "http://[bad/x.mp4"])
def test_any_address_has_a_name_fit_for_files(url: str) -> None:
    (name,) = names(url)
    assert name.strip(".") and not set("/\n\x1b[ ") & set(name)


@pytest.mark.parametrize(
    "url, plain",
    [
        ("https://s/v.mp4?file=3&sig=abc&se=2026-12-01", "https://s/v.mp4?file=3"),  # Azure
        ("https://s/v.mp4?X-Goog-Signature=a&X-Goog-Expires=9", "https://s/v.mp4"),
        ("https://s/v.mp4?exp=3", "https://s/v.mp4?exp=3"),  # nothing is signed: it may tell recordings apart
        ("https://s/v.mp4#t=3", "https://s/v.mp4"),
    ],
)
def test_a_signature_is_no_part_of_an_address(url: str, plain: str) -> None:
    assert stable_url(url) == plain
