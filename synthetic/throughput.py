"""Measure the throughput of decoding alone, of each stage and of both engines on one recording, so that ratios are comparable."""

from __future__ import annotations

import platform
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
from rich.console import Console

from models import load_detector, load_recognizer
from pipeline.engine import Job, Status, cores
from pipeline.errors import NothingReadError
from pipeline.inline import InlineEngine
from pipeline.protocol import SourceSpec
from pipeline.settings import EngineSettings
from synthetic.corridor import render_clip
from watchlist.enrolment import Gate, enrol
from watchlist.photo_list import read_photo_list
from watchlist.store import Store


def time_decoding(path: Path) -> tuple[float, float]:
    """Decode a recording and discard its frames: the upper limit of throughput.

    Returns:
        Seconds it took, and the length of the recording in seconds.

    Raises:
        NothingReadError: if there is nothing to decode.
    """
    started = time.perf_counter()
    frames, rate = 0, 25.0
    try:
        with av.open(str(path)) as container:
            for stream in container.streams.video[:1]:
                stream.thread_type = "AUTO"
                rate = float(stream.average_rate or rate)
                frames = sum(1 for _ in container.decode(stream))
    except av.FFmpegError as error:
        raise NothingReadError(f"{path}: {error.strerror}") from None
    if not frames:
        raise NothingReadError(f"{path}: no frame in it; check the file with ffprobe")
    return time.perf_counter() - started, frames / rate


def run_once(
    engine: Any, settings: EngineSettings, fpir: float, clip: Path, out: Path, people: Path | None
) -> tuple[float, Status]:
    """Run a recording once and time it.

    Args:
        engine: `InlineEngine` or `RayEngine`.
        settings: engine settings of the run.
        clip: the recording.
        out: output folder; it must not exist.
        people: photos to enrol first, a folder ``NAME/*``; None for none.

    Returns:
        Seconds from the engine's start to the last written track, without enrolment and drawing; and the final status.
    """
    out.mkdir(parents=True)
    database = out / "farsight.db"
    store = Store(database)
    if people is not None:
        recognizer = load_recognizer(device=settings.device)
        enrol(store, Gate(load_detector(device=settings.device), recognizer), read_photo_list(people).entries, recognizer.digest)
    store.close()
    context = {"out": out, "database": database, "fpir": fpir, "device": settings.device}
    job = Job(settings.groups, [SourceSpec(clip.stem, str(clip))], context, database, settings.checkpoint_every_s)
    started = time.perf_counter()
    status = engine.run(job, lambda status: None)
    return time.perf_counter() - started, status


def measure(
    settings: EngineSettings, fpir: float, source: Path | None, seconds: float, folder: Path, console: Console
) -> dict[str, Any]:
    """Measure everything on one recording.

    Args:
        source: the recording; None: a synthetic recording, 1920×1080 at 25 frames per second, with 5 to 10 faces in view.
        seconds: length of the synthetic recording.
        folder: folder for the synthetic recording and the runs.
        console: console for progress output.

    Returns:
        A dictionary for JSON: clip, machine, rows with seconds and their share of the length, ratios, sources.
    """
    from pipeline.ray.recordings import RayEngine

    clip, people = source, None
    if clip is None:
        with console.status(f"rendering {seconds:.0f} s of 1080p"):
            clip = render_clip(folder / "clip", seconds, 1920, max(8, round(seconds * 0.9)), 25, seed=3)
        people = folder / "clip" / "people"
    rows: list[dict[str, Any]] = []

    def add(what: str, took: float) -> None:
        rows.append({"what": what, "seconds": took, "share": took / length})

    with console.status("decoding alone"):
        decoding, length = time_decoding(clip)
    add("decode alone (limit)", decoding)
    with console.status("inline"):
        inline, status = run_once(InlineEngine(), settings, fpir, clip, folder / "inline", people)
    add("inline", inline)
    for group in status.groups:
        for name, row in group.stages.items():
            add(f"  {name} ({row['records_in']:.0f} in)", row["busy_s"])
    with console.status("ray"):
        started = time.perf_counter()
        engine = RayEngine()
        starting = time.perf_counter() - started
        with_ray, ray_status = run_once(engine, settings, fpir, clip, folder / "ray", people)
        engine.close()
    add("ray: start of the cluster", starting)
    add("ray: actors, work and end", with_ray)
    for group in ray_status.groups:
        for name, row in group.stages.items():
            add(f"  {name}", row["busy_s"])
    detections = status.groups[0].stages["detect"]["records_in"]
    faces = status.groups[0].stages["select"]["records_out"]
    return {
        "clip": {"name": clip.name, "seconds": length, "source": "given" if source else "synthetic, 1920x1080, 25 frames/s"},
        "machine": {"cores": cores(), "processor": platform.processor() or platform.machine()},
        "rows": rows,
        "ratios": [
            f"inline takes {inline / length:.2f} of real time, ray {with_ray / length:.2f} (+ {starting:.1f} s start)",
            f"inline takes {inline / decoding:.2f} times decoding alone; ray takes {with_ray / inline:.2f} times inline",
            f"{detections / length:.1f} detections a second, {faces:.0f} tracks",
        ],
        "sources": [asdict(s) for s in status.sources],
    }
