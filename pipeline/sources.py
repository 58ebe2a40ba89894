"""From what the user names to what is read: files, folders of recordings, URLs."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.errors import NothingReadError, SettingsError, redact_url
from pipeline.protocol import SourceSpec

SUFFIXES = frozenset(
    ".3gp .asf .avi .dav .divx .flv .h264 .h265 .hevc .264 .265 .m2ts .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg .mts .mxf "
    ".ogv .rm .ts .vob .webm .wmv".split()
)


def find_sources(named: list[str]) -> list[SourceSpec]:
    """One spec for each file, URL and video below each folder, with unique names; annotated videos of earlier runs are none.

    What is named twice is read once. Raises SettingsError for none at all, NothingReadError when nothing named can be read. A
    missing file or a folder without videos is left for the reader to report, so that the other sources go on.
    """
    if not named or not all(named):
        raise SettingsError("--source is missing: name a file, a folder or a URL")
    urls: list[str] = []
    for name in named:
        path = Path(name)
        if "://" in name or not path.is_dir():
            urls.append(name if "://" in name else str(path.resolve()))
            continue
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file() and not _drawn(p))
        urls.extend(str(p.resolve()) for p in found or [path])
    urls = list(dict.fromkeys(urls))
    if all("://" not in url and (Path(url).is_dir() or not Path(url).exists()) for url in urls):
        raise NothingReadError(f"{urls[0]}: {'no video in this folder' if Path(urls[0]).is_dir() else 'no such file'}")
    specs: list[SourceSpec] = []
    taken: set[str] = set()
    for url in urls:
        specs.append(SourceSpec(_unique(_name(url), taken), url))
    return specs


def _drawn(path: Path) -> bool:
    """Whether it lies where a run puts its annotated videos, beside its database."""
    return path.parent.name == "annotated" and (path.parent.parent / "farsight.db").is_file()


def _name(url: str) -> str:
    """A name fit for file names: the stem of a path, or a URL without scheme and credentials."""
    stem = re.sub(r"^[a-z]+://(\*\*\*@)?", "", redact_url(url)).partition("?")[0] if "://" in url else Path(url).stem
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:100] or "source"


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 2
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    taken.add(found)
    return found
