"""Resolves what the user names (files, folders, URLs) to sources."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.checkpoints import file_stamp
from pipeline.errors import NothingReadError, SettingsError, as_text, redact_url
from pipeline.protocol import SourceSpec
from pipeline.sources.folders import SkippedFiles, VideoCheck, find_videos
from pipeline.sources.naming import Address, common_folder, stable_url, unique_names

LONGEST_PATH = 4096


@dataclass
class FoundSources:
    """The sources, and the files that were left out."""

    sources: list[SourceSpec] = field(default_factory=list)
    left_out: SkippedFiles = field(default_factory=SkippedFiles)


def find_sources(named: list[str], look: VideoCheck | None = None) -> list[SourceSpec]:
    """The sources of `find_all`, without what was left out."""
    return find_all(named, look).sources


def find_all(named: list[str], look: VideoCheck | None = None) -> FoundSources:
    """Find one source for each file, URL and video below each folder. A file that is named twice is read once.

    A missing file or a folder without videos becomes a source all the same: its reader reports it, and the others go on.

    Args:
        named: paths and URLs.
        look: opens a file without a usual suffix and says why it is no video; None: such files are left out.

    Returns:
        Sources with unique names, and what was left out.

    Raises:
        SettingsError: nothing is named.
        NothingReadError: nothing that is named can be read.
    """
    if not named or not all(named):
        raise SettingsError("--source is missing: name a file, a folder or a URL")
    look = look or (lambda path: "no video by its name")
    found, addresses = FoundSources(), list[Address]()
    folders: set[tuple[int, int]] = set()
    for name in named:
        if "://" in name:
            addresses.append(Address(name))
            continue
        path = _whole(name)
        if not _is_folder(path):
            addresses.append(Address(path))
            continue
        videos = [str(video) for video in find_videos(Path(path), look, found.left_out, folders)]
        above = common_folder(videos) if videos else ""
        addresses += [Address(video, _depth(video, above)) for video in videos] or [Address(path)]
    addresses = _once(addresses, found.left_out)
    faults = {address.url: fault for address in addresses if (fault := _fault(address.url, found.left_out))}
    if len(faults) == len(addresses):
        raise NothingReadError(f"{as_text(addresses[0].url)}: {faults[addresses[0].url]}")
    names = unique_names(addresses)
    found.sources = [SourceSpec(name, address.url) for name, address in zip(names, addresses, strict=True)]
    return found


@dataclass(frozen=True)
class EarlierSource:
    """A source of an earlier run.

    Attributes:
        name: its name there.
        address: its address without credentials.
        stamp: the `file_stamp` of its file.
    """

    name: str
    address: str
    stamp: str = ""


def reuse_names(sources: list[SourceSpec], earlier: list[EarlierSource]) -> list[SourceSpec]:
    """Give sources the names they had in an earlier run. They are recognised by address, or by size and time of a moved file.

    Args:
        sources: the sources of this run.
        earlier: those of earlier runs.

    Returns:
        The sources, renamed. New ones get names that no earlier one has.

    Raises:
        SettingsError: a new source has the name of an earlier one at another address.
    """
    mine: dict[int, str] = {}
    free = {known.name: known for known in earlier}
    for way in (_exactly, _linked, _plainly, _moved):
        for place, spec in enumerate(sources):
            if place in mine:
                continue
            like = [known for known in free.values() if way(spec, known)]
            if len(like) == 1 and sum(way(other, like[0]) for k, other in enumerate(sources) if k not in mine) == 1:
                mine[place] = like[0].name
                del free[like[0].name]
    for place, spec in enumerate(sources):
        if place not in mine and spec.name in free:
            was, now = free[spec.name].address, address_of(spec)
            raise SettingsError(
                f"--resume: {spec.name} was {was} in the earlier run, now it is {now}; name the earlier one too, or another --out"
            )
    new = [place for place in range(len(sources)) if place not in mine]
    taken = {known.name for known in earlier}
    fresh = [place for place in new if sources[place].name in taken]
    taken |= {sources[place].name for place in new}
    names = dict(zip(fresh, unique_names([Address(sources[place].url) for place in fresh], taken), strict=True))
    return [replace(spec, name=mine.get(place, names.get(place, spec.name))) for place, spec in enumerate(sources)]


def address_of(spec: SourceSpec) -> str:
    """The address of a source without credentials, with the number of its video track where a file has several."""
    track = dict(spec.options).get("track")
    return redact_url(spec.url) + (f" track {int(track) + 1}" if track else "")


def _exactly(spec: SourceSpec, known: EarlierSource) -> bool:
    return address_of(spec) == known.address


def _linked(spec: SourceSpec, known: EarlierSource) -> bool:
    return "://" not in spec.url and address_of(replace(spec, url=os.path.realpath(spec.url))) == known.address


def _plainly(spec: SourceSpec, known: EarlierSource) -> bool:
    return stable_url(address_of(spec)) == stable_url(known.address)


def _moved(spec: SourceSpec, known: EarlierSource) -> bool:
    """Whether the file of the earlier run is gone, and this file has its name, size and modification time."""
    stamp = known.stamp and file_stamp(spec.url)
    track = address_of(spec).removeprefix(redact_url(spec.url))
    gone = known.address.endswith(track) and not Path(known.address.removesuffix(track)).exists()
    return bool(stamp) and stamp == known.stamp and gone


def _whole(name: str) -> str:
    """The absolute path. Links are not resolved: their own names say more."""
    if len(os.fsencode(name)) > LONGEST_PATH or any(len(part) > 255 for part in os.fsencode(name).split(b"/")):
        raise SettingsError(f"--source {as_text(name)[:60]}...: the path is longer than a file system allows")
    return os.path.abspath(name)  # noqa: PTH100 - resolves no links


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(Path(path).stat().st_mode)
    except OSError:
        return False


def _depth(video: str, above: str) -> int:
    """How many parts of a path are below a folder."""
    return len(Path(video).relative_to(above).parts)


def _once(addresses: list[Address], left_out: SkippedFiles) -> list[Address]:
    """Remove duplicates of files and URLs. The first mention is kept."""
    kept: dict[str, Address] = {}
    for address in addresses:
        key = address.url if "://" in address.url else os.path.realpath(address.url)
        if key not in kept:
            kept[key] = address
        elif kept[key].url != address.url:
            left_out.add(address.url, f"the same file as {as_text(kept[key].url)}")
    return list(kept.values())


def _fault(url: str, left_out: SkippedFiles) -> str:
    """Why an address cannot be read, as far as can be known without opening it; "" if it may be readable."""
    if "://" in url:
        return ""
    path = Path(url)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "a link to nothing" if path.is_symlink() else "no such file"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if stat.S_ISDIR(mode):
        return _empty(url, left_out)
    return "a device or a socket, no recording" if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)) else ""


def _empty(folder: str, left_out: SkippedFiles) -> str:
    """Describe the content of a folder without videos."""
    inside = [
        (p, reason) for p, reason in left_out.files if p == as_text(folder) or p.startswith(as_text(folder).rstrip("/") + "/")
    ]
    if not inside:
        return "no video in this folder"
    path, reason = inside[0]
    more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
    return f"no video in this folder ({Path(path).name}: {reason}{more})"
