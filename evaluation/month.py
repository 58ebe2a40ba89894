"""Retrieval quality over 30 days: a synthetic database of 3 cameras and 200 generated people.

    python -m evaluation.month --out month/ [--people 200] [--passes 15]
    python run_pipeline.py search month/photos/person-007.png --db month/ --since 2026-10-10 --camera gate

Each person passes some cameras on some days. A face is 12 to 45 pixels wide and degraded, with three shots per pass and
a new light, pose and expression each time. The pipeline's own stages make the templates. Then 50 people are searched for with
one photo each. Reported: R-precision, the share of a person's R passes among the first R results, and the share of searches whose
first result is right.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track as shown

from evaluation.lfw import FACE_SHARE, camera_shots
from evaluation.stage_templates import StageTemplates
from models import load_recognizer, recognizer_card
from models.networks.facegen import FaceGenerator, Identity, Look
from models.weights_io import WEIGHTS
from synthetic.corridor import Image, portrait
from watchlist.search_back import DatabaseTracks, TrackSearch
from watchlist.store import Store
from watchlist.thresholds import Thresholds

START = datetime(2026, 10, 1)
DAYS = 30
CAMERAS = ("gate", "hall", "yard")
SHOTS = 3
SEARCHED = 50
SEED = 40_000  # seed of the first person; the demo uses others


def random_look(rng: np.random.Generator) -> Look:
    """Pose, expression and light of one pass."""
    return Look(
        yaw=float(rng.uniform(-0.3, 0.3)),
        pitch=float(rng.uniform(-0.1, 0.15)),
        smile=float(rng.uniform(-0.3, 0.9)),
        light=(float(rng.uniform(-0.3, 0.3)), float(rng.uniform(-0.3, 0.1))),
        gain=float(rng.uniform(0.7, 1.1)),
    )


def pass_shots(generator: FaceGenerator, person: Identity, face_px: float, rng: np.random.Generator) -> list[Image]:
    """`SHOTS` chips of one pass at their resolution level, degraded to a face ``face_px`` pixels wide."""
    shots, look = [], random_look(rng)
    side = min(128, round(face_px / FACE_SHARE))
    for _ in range(SHOTS):
        chip, mask = generator.render(person, look)
        background = np.full_like(chip, rng.integers(60, 200))
        sharp = (chip * mask[..., None] + background * (1 - mask[..., None])).astype(np.uint8)
        shots += camera_shots(sharp[None], [side], rng)
    return shots


def build_database(out: Path, people: int, passes: int) -> dict[str, set[str]]:
    """Write the database, crops and enrolment photos.

    Args:
        out: folder to write into.
        people: number of people.
        passes: passes of each person, on average.

    Returns:
        The tracks of each person as SOURCE/TRACK, by name.
    """
    generator, stages = FaceGenerator(WEIGHTS / "facegen.safetensors"), StageTemplates()
    rng = np.random.default_rng(0)
    store = Store(out / "farsight.db")
    digest = load_recognizer().digest
    (out / "photos").mkdir(parents=True, exist_ok=True)
    tracks: dict[str, set[str]] = {}
    for number in shown(range(people), description="a month passes"):
        name, person = f"person-{number:03d}", generator.identity(SEED + number)
        cv2.imwrite(
            str(out / "photos" / f"{name}.png"), np.ascontiguousarray(portrait(generator, person, SEED + number)[..., ::-1])
        )
        rows: list[dict[str, Any]] = []
        for k in range(int(rng.integers(1, 2 * passes))):
            face_px = float(rng.uniform(12, 45))
            chips = pass_shots(generator, person, face_px, rng)
            (template,) = stages([chips])
            if template.embedding is None:
                continue
            at = START.timestamp() + float(rng.uniform(0, DAYS * 86_400))
            camera = str(rng.choice(CAMERAS))
            row = _row(out, camera, f"{number:03d}-{k:02d}", at, face_px, chips[0], template.embedding, template.quality)
            rows.append(row | {"recognizer": digest})
            tracks.setdefault(name, set()).add(f"{camera}/{row['track']}")
        store.put_tracks(rows)
    store.close()
    return tracks


def _row(
    out: Path, camera: str, track: str, at: float, px: float, chip: Image, vector: np.ndarray, quality: float
) -> dict[str, Any]:
    """Write the crop of a track; return the track's table row."""
    name = f"crops/{camera}/{track}-crop.png"
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out / name), np.ascontiguousarray(chip[..., ::-1]))
    seconds = at - START.timestamp()
    return {
        "source": camera,
        "track": track,
        "version": 1,
        "final": 1,
        "start_s": seconds,
        "end_s": seconds + 4,
        "started_at": at,
        "ended_at": at + 4,
        "face_px": px,
        "shots": SHOTS,
        "template": vector.astype(np.float16).tobytes(),
        "quality": quality,
        "best_pts_s": seconds + 2,
        "best_box": "[0, 0, 1, 1]",
        "crop": name,
        "restored": None,
        "path": np.zeros((1, 5), np.float32).tobytes(),
        "outcome": "no_match",
        "identity": None,
        "name": None,
        "nearest": None,
        "score": None,
        "threshold": None,
        "fpir": 0.01,
        "reasons": "[]",
    }


def search_people(out: Path, tracks: dict[str, set[str]]) -> tuple[float, float, int]:
    """Search for `SEARCHED` people by photo.

    Args:
        out: the folder that `build_database` wrote.
        tracks: what `build_database` returned.

    Returns:
        Mean R-precision 0..1, share 0..1 of searches whose first result is right, and the number of tracks searched.
    """
    from models import load_detector
    from watchlist.enrolment import Gate

    recognizer, card = load_recognizer(), recognizer_card()
    gate = Gate(load_detector(min_score=0.5), recognizer)
    past = TrackSearch(DatabaseTracks(Store(out / "farsight.db"), recognizer.digest), Thresholds(card["impostors"]))
    precision, first = [], []
    for name, own in list(tracks.items())[:SEARCHED]:
        verdict = gate.judge(name, out / "photos" / f"{name}.png")
        if verdict.vector is None:
            precision.append(0.0)
            first.append(False)
            continue
        found, compared = past.search(verdict.vector[None], top=len(own))
        hits = [f"{f.row['source']}/{f.row['track']}" in own for f in found]
        precision.append(float(np.mean(hits)))
        first.append(hits[0])
    return float(np.mean(precision)), float(np.mean(first)), compared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--passes", type=int, default=15, help="of each person, on average")
    args = parser.parse_args()
    tracks = build_database(args.out, args.people, args.passes)
    precision, first, compared = search_people(args.out, tracks)
    Console(width=120).print(
        f"{compared} tracks of {len(tracks)} people; searching for {min(SEARCHED, len(tracks))} by photo: "
        f"first answer right {first:.0%}, R-precision {precision:.0%}"
    )


if __name__ == "__main__":
    main()
