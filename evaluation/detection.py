"""How many small faces a detector finds, by their width, and what it costs.

    python -m evaluation.detection --data DATA --frames .cache/frames [--other yunet.onnx ...] [--write-card]

Two clips and four in ten scene photos, none trained on (`training.label_frames.DEV_CLIPS`,
`detector_scenes.dev_photo`), at full size and shrunk in five steps, clean and as a poor camera sees them. Truth: the
teacher's labels at the largest size (doubled tiles for the clips). Recall is taken at the score that lets through 0.5
false positives a picture; faces the teacher is unsure of count neither way. The landmark error is in eye distances of
a frontal face of that width, since the eyes of a turned head draw together.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models import _weights, load_detector
from models.faces import Faces, pairwise_iou
from training.detector_scenes import SURE, Scene, load_frames, load_photos

BINS = ((8, 12), (12, 16), (16, 24), (24, 32), (32, 64))
SCALES = (1, 1 / 2, 1 / 3, 1 / 5, 1 / 8, 1 / 12)
EYES = 0.43  # eye distance over face width, frontal
FALSE_PER_FRAME = 0.5
LEAST_IOU = 0.4


def cctv_frame(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur 0.6, gain 0.6, noise sigma 7, JPEG 45."""
    dim = cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32) * 0.6
    noisy = np.clip(dim + rng.standard_normal(image.shape, np.float32) * 7, 0, 255).astype(np.uint8)
    return cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 45])[1], cv2.IMREAD_COLOR)


def looks(frames: list[Scene], cctv: bool) -> list[Scene]:
    """Every frame at every scale, with its truth."""
    rng = np.random.default_rng(0)
    found = []
    for scene in frames:
        for scale in SCALES:
            small = cv2.resize(scene.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
            found.append(
                Scene(cctv_frame(small, rng) if cctv else small, scene.boxes * scale, scene.landmarks * scale, scene.scores)
            )
    return found


def recall_by_width(scenes: list[Scene], detections: list[Faces]) -> tuple[dict[str, tuple[float, int]], float]:
    """Recall and number of faces per bin, and median landmark error of 16 to 24 pixels, at the score of 0.5 false
    positives a frame."""
    scores, right = [], []
    matches = []
    for scene, faces in zip(scenes, detections, strict=True):
        overlap = pairwise_iou(faces.boxes, scene.boxes)
        hit = np.full(len(faces), -1)
        free = np.ones(len(scene.scores), bool)
        for i in np.argsort(-faces.scores):
            for j in np.argsort(-overlap[i]) if overlap.shape[1] else []:
                if overlap[i, j] >= LEAST_IOU and free[j]:
                    hit[i], free[j] = j, False
                    break
        unsure = np.array([h >= 0 and scene.scores[h] < SURE for h in hit], bool)
        scores.extend(faces.scores[~unsure])
        right.extend((hit >= 0)[~unsure])
        matches.append(hit)
    order = np.argsort(-np.array(scores))
    false = np.cumsum(~np.array(right, bool)[order]) if len(order) else np.zeros(0)
    allowed = np.flatnonzero(false <= FALSE_PER_FRAME * len(scenes))
    least = np.array(scores)[order][allowed[-1]] if len(allowed) else 1.0
    counts = {f"{a}-{b}": [0, 0] for a, b in BINS}
    errors = []
    for scene, faces, hit in zip(scenes, detections, matches, strict=True):
        widths = scene.boxes[:, 2] - scene.boxes[:, 0]
        for j in np.flatnonzero(scene.scores >= SURE):
            name = next((f"{a}-{b}" for a, b in BINS if a <= widths[j] < b), None)
            if name is None:
                continue
            by = np.flatnonzero((hit == j) & (faces.scores >= least))
            counts[name][1] += 1
            counts[name][0] += len(by) > 0
            if len(by) and 16 <= widths[j] < 24:
                errors.append(np.linalg.norm(faces.landmarks[by[0]] - scene.landmarks[j], axis=1).mean() / (EYES * widths[j]))
    return {k: (n / max(1, t), t) for k, (n, t) in counts.items()}, float(np.median(errors)) if errors else float("nan")


def time_per_frame(detector: Any, frames: list[Scene], width: int, height: int) -> float:
    """Milliseconds for one frame of this size, median of ten."""
    frame = cv2.resize(frames[0].image, (width, height)).astype(np.uint8)
    detector.detect([frame])
    spent = []
    for _ in range(10):
        started = time.perf_counter()
        detector.detect([frame])
        spent.append(time.perf_counter() - started)
    return 1000 * float(np.median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--other", type=Path, nargs="*", default=[])
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    frames = load_frames(args.frames, dev=True) + load_photos(args.data, dev=True)
    detectors = {"farsight": load_detector(min_score=0.05)} | {p.stem: load_detector(p, "cpu", 0.05) for p in args.other}
    found: list[dict[str, Any]] = []
    for cctv in (False, True):
        scenes = looks(frames, cctv)
        for name, detector in detectors.items():
            recall, error = recall_by_width(scenes, [detector.detect([s.image])[0] for s in scenes])
            row = {
                "look": "cctv" if cctv else "clean",
                "detector": name,
                "recall": {k: round(100 * r, 1) for k, (r, _) in recall.items()},
                "faces": {k: t for k, (_, t) in recall.items()},
                "landmark_error_16_24": round(100 * error, 1),
            }
            found.append(row)
            shown = "  ".join(f"{k}: {v:5.1f} ({row['faces'][k]})" for k, v in row["recall"].items())
            print(f"{row['look']:6} {name:18} {shown}  landmarks {row['landmark_error_16_24']} % of eye distance", flush=True)
    times = {}
    for name, detector in detectors.items():
        times[name] = {f"{w}x{h}": round(time_per_frame(detector, frames, w, h), 1) for w, h in ((960, 540), (1920, 1080))}
        print(f"{name:18} ms a frame: {times[name]}")
    if args.write_card:
        path = _weights(None, "detector").with_suffix(".json")
        card = json.loads(path.read_text())
        command = "python -m evaluation.detection --data DATA --frames .cache/frames"
        card["figures"] = {
            "command": command,
            "data": "head-pose-two, mall-door and 293 photos at 1 to 1/12 size, recall in % at 0.5 false positives a picture",
            "rows": found,
            "ms_per_frame": times,
        }
        path.write_text(json.dumps(card, indent=2) + "\n")


if __name__ == "__main__":
    main()
