"""Makes each video track of a recording a source of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.protocol import SourceSpec
from stages.video.container import open_video, video_tracks

AT_ONCE = 8


def split_video_tracks(specs: list[SourceSpec]) -> list[SourceSpec]:
    """Return one spec per video track of each file, named ``NAME-track1``, ``NAME-track2``.

    Network streams stay as they are: their tracks are one video in several qualities. So do files that cannot be opened; the
    reader reports why.
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
    """Return the number of video tracks; 1 if it is unknown."""
    if "://" in spec.url or not Path(spec.url).is_file() or dict(spec.options).get("track"):
        return 1
    try:
        container, _ = open_video(spec.url)
    except SourceError:
        return 1
    count = len(video_tracks(container))
    container.close()
    return count
