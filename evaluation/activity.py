"""What `run --activity` saves in quiet recordings, and which tracks it misses.

    python -m evaluation.activity --work DIR [--minutes 4] [--copies 5] [--width 1920] [--fps 25] [--clips FOLDER]
                                  [--json docs/results/activity.json]

Renders a corridor in which somebody walks for a twentieth of the time, with new sensor noise in each frame, encodes it at
constant quality and at a constant bit rate, and reads it with ``off``, ``safe`` and ``fast``. A track of ``off`` is found by
another mode if one of its tracks overlaps it in time with an IoU of `MIN_IOU`. ``--clips`` adds real recordings, each with its
first and last frame held for ``--quiet`` seconds.

Time: ``--copies`` copies of each clip are joined without re-encoding. The difference to the time for one copy is that of a day
without the start; 24 hours are extrapolated from it. ``off`` is measured with one copy. To measure a whole day use
``--minutes 10 --copies 144``. The clips in ``--work`` are kept and used again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console

from evaluation.quiet_clips import corridor_clips, join_copies, quiet_around
from evaluation.results import table
from evaluation.timed_command import farsight_command, machine, run_timed
from models.faces import pairwise_iou
from stages.annotate import interpolate_box
from synthetic.corridor import GeneratedFaces, portrait
from watchlist.store import Store

MODES = ("off", "safe", "fast")
MIN_IOU = 0.3
DAY_S = 86_400
SHARE = 0.05
SEED = 11

Track = dict[str, Any]


def run_mode(clip: Path, mode: str, work: Path, engine: str) -> dict[str, Any]:
    """Run the program on a clip. Returns its tracks, the report of the source, and seconds.

    Raises RuntimeError if it fails.
    """
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = ("run", "--source", clip, "--watchlist", work / "people", "--out", out, "--engine", engine, "--no-video")
    row = run_timed(farsight_command(*words, "--activity", mode))
    if row["exit"]:
        raise RuntimeError(f"{clip.name}, {mode}: exit code {row['exit']}: {row['errors']}")
    store = Store(out / "farsight.db")
    tracks = store.tracks(clip.stem)
    store.close()
    for track in tracks:
        track["path"] = np.frombuffer(track["path"], np.float32).reshape(-1, 5)
    (source,) = json.loads((out / "run.json").read_text())["sources"]
    return {"tracks": tracks, "source": source, **row}


def is_found(track: Track, others: list[Track]) -> bool:
    """Whether one of the other tracks shows the same face at a time of the track, with an IoU of `MIN_IOU`."""
    for other in others:
        for pts_s, *box in other["path"]:
            mine = interpolate_box(track["path"], float(pts_s))
            if mine is not None and pairwise_iou(mine[None], np.array([box], np.float32))[0, 0] >= MIN_IOU:
                return True
    return False


def miss_row(name: str, mode: str, full: dict[str, Any], run: dict[str, Any]) -> list[Any]:
    """A row of the table of misses: ``run`` against the run with ``off``."""
    found = sum(is_found(track, run["tracks"]) for track in full["tracks"])
    counts, length = run["source"]["counts"], run["source"]["duration_s"]
    detections = [sum(len(track["path"]) for track in r["tracks"]) for r in (run, full)]
    skipped = round(100 * counts.get("seconds_skipped", 0) / length)
    kept = round(100 * detections[0] / detections[1]) if detections[1] else ""
    lost = len(full["tracks"]) - found
    return [name, mode, round(length), skipped, len(full["tracks"]), found, lost, len(run["tracks"]), kept]


MISS_COLUMNS = [
    *("recording", "activity", "seconds", "not decoded, %", "tracks of `off`"),
    *("found", "lost", "tracks in all", "detections against `off`, %"),
]


def time_row(name: str, mode: str, one: dict[str, Any], many: dict[str, Any] | None) -> list[Any]:
    """A row of the table of times. ``many``: the run on the joined copies; None: extrapolate from one copy."""
    length = one["source"]["position_s"]
    more, seconds, cpu = length, one["seconds"], one["cpu_s"]
    if many is not None:
        more = many["source"]["position_s"] - length
        seconds, cpu = many["seconds"] - seconds, many["cpu_s"] - cpu
    measured = length + (more if many is not None else 0.0)
    rates = (round(more / max(seconds, 0.01), 1), round(more / max(cpu, 0.01), 1))
    return [name, mode, round(measured), *rates, round(DAY_S * seconds / more / 60), round(DAY_S * cpu / more / 60)]


TIME_COLUMNS = [
    *("recording", "activity", "seconds measured", "times real time", "seconds of video a processor second"),
    *("24 hours, minutes", "24 hours, processor minutes"),
]


def measure(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    """Run everything. Returns the tables."""
    work = args.work
    (work / "people" / "Ada").mkdir(parents=True, exist_ok=True)
    faces = GeneratedFaces([])
    photo = portrait(faces.generator, faces.generator.identity(7), 7)
    cv2.imwrite(str(work / "people" / "Ada" / "photo.png"), np.ascontiguousarray(photo[..., ::-1]))
    corridors = corridor_clips(work, 60 * args.minutes, SHARE, args.width, args.fps, SEED)
    clips = {f"corridor, {name}": path for name, path in corridors.items()}
    for clip in sorted(args.clips.glob("*.mp4")) if args.clips else []:
        padded = work / f"{clip.stem}-quiet-{args.quiet:g}.mp4"
        clips[clip.stem] = padded if padded.is_file() else quiet_around(clip, padded, args.quiet)
    misses, times = [], []
    for name, clip in clips.items():
        full: dict[str, Any] = {}
        for mode in MODES:
            one = run_mode(clip, mode, work, args.engine)
            full = full or one
            misses.append(miss_row(name, mode, full, one))
            console.print(*misses[-1], one["source"]["choices"].get("activity", ""), soft_wrap=True)
            if name.startswith("corridor"):
                many = None
                if mode != "off" and args.copies > 1:
                    many = run_mode(join_copies(clip, work / "long.mp4", args.copies), mode, work, args.engine)
                times.append(time_row(name, mode, one, many))
                console.print(*times[-1], soft_wrap=True)
    note = f"Found: a track of this mode overlaps it in time, with an IoU of at least {MIN_IOU}."
    extrapolated = "24 hours are extrapolated by ratio. "
    extrapolated += "`off`: from one clip with its start; others: from the further copies of the clip, without the start."
    return [
        {"caption": "Tracks", "columns": MISS_COLUMNS, "rows": misses, "note": note},
        {"caption": "Time", "columns": TIME_COLUMNS, "rows": times, "note": extrapolated},
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for clips and results")
    parser.add_argument("--minutes", type=float, default=4.0, help="length of the rendered corridor")
    parser.add_argument("--copies", type=int, default=5, help="copies that are joined to measure time")
    parser.add_argument("--width", type=int, default=1920)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--clips", type=Path, help="folder of real recordings (*.mp4)")
    parser.add_argument("--quiet", type=float, default=40.0, help="seconds that first and last frame of a real one are held")
    parser.add_argument("--engine", default="inline", help="inline or ray")
    parser.add_argument("--json", type=Path, help="write the section of the results page here")
    args = parser.parse_args()
    tables = measure(args, Console())
    words = f"--work DIR --minutes {args.minutes:g} --copies {args.copies} --width {args.width} --fps {args.fps}"
    clips = f", real clips with their first and last frame held for {args.quiet:g} s" if args.clips else ""
    section = {
        "title": "Quiet recordings: what `--activity` saves, and what it misses",
        "command": f"python -m evaluation.activity {words}" + (f" --clips FOLDER --quiet {args.quiet:g}" if args.clips else ""),
        "data": f"a synthetic corridor, {args.width} pixels wide, {args.fps} fps, somebody walks 5 % of the time{clips}",
        "machine": f"{machine()}, engine {args.engine}, load average of the last five minutes {os.getloadavg()[1]:.1f}",
        "date": time.strftime("%Y-%m"),
        "tables": tables,
    }
    for spec in tables:
        print(table(spec) + "\n")
    if args.json:
        args.json.write_text(json.dumps(section, indent=1) + "\n")


if __name__ == "__main__":
    main()
