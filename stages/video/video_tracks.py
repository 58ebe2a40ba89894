"""Recordings with several video tracks: each of them is a source of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from stages.video.container import open_video, video_tracks

AT_ONCE = 8


def split_video_tracks(specs: list[SourceSpec]) -> list[SourceSpec]:
    """One spec for each video track of each file, named apart: ``NAME-track1``, ``NAME-track2``.

    A stream from the network, whose tracks are one picture in several qualities, and a file that cannot be opened stay as they
    are: the reader says what is wrong.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = list(pool.map(_tracks, specs))
    taken = {spec.name for spec, count in zip(specs, counts, strict=True) if count < 2}
    found: list[SourceSpec] = []
    for spec, count in zip(specs, counts, strict=True):
        if count < 2:
            found.append(spec)
            continue
        for number in range(count):
            name = f"{spec.name}-track{number + 1}"
            while name in taken:
                name += "-"
            taken.add(name)
            found.append(replace(spec, name=name, options=(*spec.options, ("track", str(number)))))
    return found


def _tracks(spec: SourceSpec) -> int:
    """How many video tracks there are; 1 where that cannot be told."""
    if "://" in spec.url or not Path(spec.url).is_file() or dict(spec.options).get("track"):
        return 1
    try:
        container, _ = open_video(spec.url)
    except SourceError:
        return 1
    count = len(video_tracks(container))
    container.close()
    return count
