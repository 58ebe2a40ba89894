"""Demo data for the console: the synthetic corridor, seen by three sources over several days. Everybody in it does not exist."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from console.auth.passwords import hash_password
from watchlist.output_folder import shot_pictures
from watchlist.store import Store

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery"
ROLES = ("viewer", "reviewer", "operator", "admin")
DAY_S = 86_400.0


def run_demo(out: Path) -> None:
    """Run `demo`, which renders the corridor and looks for the people in it."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "demo", "--engine", "inline", "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)


def fill(out: Path, now: float | None = None) -> None:
    """Give the demo's tracks a time of day, copies at two live cameras, and the console a user of each role.

    Args:
        out: folder of a demo; it is changed.
        now: Unix time of the newest sighting.
    """
    now = time.time() - 120 if now is None else now
    store = Store(out / "farsight.db")
    store.set_recording_start("corridor", now - 3 * DAY_S, "demo")
    rows = [store.find_tracks([(row["source"], row["track"])])[0] for row in store.feed(limit=100)]
    rng = np.random.default_rng(5)
    for camera, shift in (("gate", 0.0), ("yard-east", 1.3 * DAY_S)):
        copies = []
        for number, row in enumerate(rows):
            track = f"20261130T{number:06d}"
            copy = row | {"source": camera, "track": track, "final": 1, "version": 1}
            copy["started_at"] = now - shift - 5400.0 * number
            copy["ended_at"] = copy["started_at"] + 6.0
            copy["score"] = None if row["score"] is None else row["score"] - 0.02 * (number % 4)
            template = np.frombuffer(row["template"], np.float16).astype(np.float32)
            noisy = template / np.linalg.norm(template) + rng.normal(0, 0.15 / np.sqrt(len(template)), len(template))
            copy["template"] = (noisy / np.linalg.norm(noisy)).astype(np.float16).tobytes()
            for kind in ("crop", "restored"):
                copy[kind] = _copied(out, row[kind], f"crops/{camera}/{track}-{kind}.png")
            originals = shot_pictures(row["source"], row["track"], row["shots"])
            for before, name in zip(originals, shot_pictures(camera, track, row["shots"]), strict=True):
                _copied(out, before, name)
            if number == 1 and camera == "yard-east":
                copy |= {"outcome": "not_assessable", "face_px": 22.0, "reasons": ["blurred: 3", "too small: 2"]}
                copy |= {"identity": None, "name": None, "score": None, "threshold": None, "template": None}
            copies.append(stored(copy))
        store.put_tracks(copies)
    hashed = hash_password(PASSWORD)
    for role in ROLES:
        store.add_account(role, role, hashed)
    goran = store.find_identity("Goran")
    if goran is not None:
        store.update_identity(goran, name="גורן 🎿 Goran", purpose="demo", authority="nobody", external_id="D-4")
    store.close()


def stored(row: dict[str, object]) -> dict[str, object]:
    """A row as `put_tracks` takes it, of one as `find_tracks` gives it."""
    import json

    return row | {"reasons": json.dumps(row["reasons"]), "best_box": json.dumps(row["best_box"])}


def _copied(out: Path, before: str | None, name: str) -> str | None:
    if not before or not (out / before).is_file():
        return None
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(out / before, out / name)
    return name
