"""Simulated walkers for `evaluation.watchlist`: faces of ``DATA/lfw-dev`` in a real corridor, run through the shipped pipeline.

Faces are drawn over the background of a clip, with noise, blur and H.264. `snap` is quicker: it renders no video and
runs only the stages that make templates.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from cli.settings import load_settings
from configs import CONFIGS
from evaluation.stage_templates import StageTemplates, embeddings_of
from evaluation.visits import SHOTS, film_visit
from models import weights_path
from models.networks.facegen import Look
from models.weights_io import digest
from pipeline.engine import Job
from pipeline.inline import InlineEngine
from pipeline.protocol import SourceSpec
from synthetic.corridor import NEAR_FACE_PX, Corridor, Image, Truth, Walker, write_clip
from synthetic.scoring import followed_walker
from watchlist.store import Store

WIDTH, FPS, WALK_S, CONCURRENT = 960, 10, 5.0, 6
MIN_QUALITY = 0.1  # as `stages.search.Search` has it
PAUSE_S = 2.0  # gap between two people on a lane, longer than the tracker bridges


class PhotoRenderer:
    """Renders a walker from their photo, adjusted to the brightness of the place.

    Args:
        chips: uint8 (128, 128, 3) RGB by name of the walker.
    """

    def __init__(self, chips: dict[str, Image]) -> None:
        self._chips = chips
        mask = np.zeros((128, 128), np.float32)
        cv2.ellipse(mask, (64, 66), (56, 64), 0, 0, 360, 1.0, -1)  # with the hair
        self._mask = cv2.GaussianBlur(mask, (0, 0), 3).astype(np.float32)

    def __call__(self, walker: Walker, look: Look) -> tuple[Image, NDArray[np.float32]]:
        return cv2.convertScaleAbs(self._chips[walker.name], alpha=look.gain).astype(np.uint8), self._mask


@dataclass(frozen=True)
class ObservedTrack:
    """A track of the pipeline.

    Attributes:
        walker: row of the walker it follows.
        embedding: its template (D,), or None if it is not assessable.
        face_px: width of its best face in pixels.
        shots: of its template.
    """

    walker: int
    embedding: NDArray[np.float32] | None
    face_px: float
    shots: int = 1


def background_of(clip: Path) -> Image:
    """The background of a clip: the median of its frames, uint8 (540, 960, 3) RGB."""
    with av.open(str(clip)) as container:
        frames = [f.to_ndarray(format="rgb24") for k, f in enumerate(container.decode(video=0)) if k % 40 == 0]
    still = np.median(np.stack(frames[:60]), axis=0).astype(np.uint8)
    return cv2.resize(still, (WIDTH, WIDTH * 9 // 16), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def schedule_walkers(names: list[str], rng: np.random.Generator) -> tuple[list[Walker], float]:
    """Schedule everybody to walk once, `CONCURRENT` at a time, with faces up to 14 to 62 pixels wide.

    Returns:
        The walkers, and the length of the scene in seconds.
    """
    order = rng.permutation(len(names))
    walkers = []
    for place, row in enumerate(order):
        start = place * (WALK_S + PAUSE_S) / CONCURRENT
        lane = float(np.linspace(-0.8, 0.8, CONCURRENT)[place % CONCURRENT] + rng.uniform(-0.05, 0.05))
        near = float(np.exp(rng.uniform(np.log(14 / 62), 0)))
        walkers.append(Walker(names[row], int(row), False, start, start + WALK_S, lane, near, float(rng.uniform(0, 6))))
    return walkers, start + WALK_S


def watch(scene: Corridor, seconds: float, folder: Path, console: Console) -> tuple[list[Truth], list[ObservedTrack]]:
    """Render the scene and run the pipeline on it. A video, or tracks of the same networks, in the folder are reused.

    Returns:
        The ground truth, and the tracks that follow a walker.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clip, kept = folder / "walk.mp4", folder / "walk.json"
    if not kept.exists():
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("filming", total=1.0)
            _, truth = write_clip(scene, clip, seconds, lambda share: bar.update(task, completed=share))
        kept.write_text(json.dumps([truth.boxes for truth in truth]))
    truth = [Truth(w, boxes) for w, boxes in zip(scene.walkers, json.loads(kept.read_text()), strict=True)]
    own = folder / networks_key()
    run_pipeline(clip, seconds, own, console)
    return truth, observed_tracks(own, truth)


def networks_key() -> str:
    """A name that changes with any of the shipped networks, for what they make."""
    weights = sorted(weights_path(None, "recognizer").parent.glob("*.safetensors"))
    return hashlib.sha256("".join(digest(path) for path in weights).encode()).hexdigest()[:12]


def run_pipeline(clip: Path, seconds: float, out: Path, console: Console) -> None:
    """Run the shipped pipeline on a clip, unless ``out`` holds a finished run."""
    if (out / "done").exists():
        return
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    settings = load_settings(CONFIGS / "recording.yaml")
    database = out / "farsight.db"
    Store(database).close()
    context = {"out": out, "database": database, "fpir": settings.fpir, "device": settings.device}
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("watching", total=seconds)
        InlineEngine().run(
            Job(settings.groups, [SourceSpec("walk", str(clip))], context, None, 1e9),
            lambda status: bar.update(task, completed=status.sources[0].position_s if status.sources else 0),
        )
    (out / "done").touch()


def observed_tracks(out: Path, truth: list[Truth]) -> list[ObservedTrack]:
    """The tracks of a run that follow a walker."""
    store = Store(out / "farsight.db")
    boxes = [np.array(t.boxes, np.float32).reshape(-1, 5) for t in truth]
    seen = []
    for track in store.tracks():
        walker = followed_walker(track, boxes)
        if walker is not None:
            vector = None if track["template"] is None else np.frombuffer(track["template"], np.float16).astype(np.float32)
            assessable = track["outcome"] != "not_assessable"
            seen.append(ObservedTrack(walker, vector if assessable else None, track["face_px"], track["shots"]))
    store.close()
    return seen


def snap(chips: list[Image], kept: Path, rng: np.random.Generator) -> list[ObservedTrack]:
    """Make a track of each walker without a video: shots of random cameras (`evaluation.visits`) become templates.

    Args:
        chips: uint8 (128, 128, 3) of each walker.
        kept: cache file of the templates.
        rng: draws the cameras, and widths as `schedule_walkers` does.
    """
    widths = NEAR_FACE_PX * np.exp(rng.uniform(np.log(14 / 62), 0, len(chips)))
    if not kept.exists():
        visits = [film_visit([chip], float(width), rng) for chip, width in zip(chips, widths, strict=True)]
        templates = StageTemplates()(visits)
        dim = next(len(t.embedding) for t in templates if t.embedding is not None)
        np.savez(kept, templates=embeddings_of(templates, dim), quality=[t.quality for t in templates])
    with np.load(kept) as file:
        vectors, quality = file["templates"], file["quality"]
    return [
        ObservedTrack(row, vector if good >= MIN_QUALITY else None, float(width), SHOTS)
        for row, (vector, good, width) in enumerate(zip(vectors, quality, widths, strict=True))
    ]
