"""What another detector adds to the teacher's labels: what both find likely is a face, what it alone sees neither face nor none.

    python -m training.data.second_opinion --data DATA --frames .cache/frames --witness yunet.onnx

Teachers are least sure of profiles, turned heads and faces that are cut or half hidden; left out, a detector never learns those,
and called background it unlearns them. Writes ``frames.json`` and ``photos.json`` beside the frames' own labels, which detectors
are measured against: those of the frames and of ``DATA/scenes``, with the additions. The scores were chosen by eye: below them
both take backs of heads for faces.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.progress import track

from models import Detector, load_detector
from models.faces import Faces, pairwise_iou
from training.common.runs import own_command
from training.data.scenes import SURE, UNSURE, Scene, dev_photo, load_frame, of_dev_clip, photos

MIN_SCORE_SUM, MIN_SCORE_ALONE = (
    1.15,
    0.6,
)  # the sum of both scores that makes a label sure, and the other's from which on it adds an unsure one
LEAST_SCORE = 0.5
SAME = 0.4  # IoU of two finds of one face
SCALES = (1.0, 2.0)


def detect_at_scales(witness: Detector, image: np.ndarray) -> Faces:
    """What the witness sees in a picture (H, W, 3) at its own and at doubled size."""
    parts = []
    for scale in SCALES:
        sized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        parts.append(witness.detect([sized])[0].scaled(1 / scale))
    return Faces.merge(parts).with_nms()


def merge_second(scene: Scene, second: Faces) -> Scene:
    """The scene with unsure labels made sure that the other detector confirms, and unsure ones of what it alone sees."""
    overlap = pairwise_iou(second.boxes, scene.boxes)
    scores = scene.scores.copy()
    both = np.where(overlap >= SAME, second.scores[:, None], -np.inf).max(0, initial=-np.inf) + scores
    scores[both >= MIN_SCORE_SUM] = np.maximum(scores[both >= MIN_SCORE_SUM], SURE)
    alone = second[(second.scores >= MIN_SCORE_ALONE) & (overlap.max(1, initial=0) < SAME)]
    return Scene(
        scene.image,
        np.concatenate([scene.boxes, alone.boxes]),
        np.concatenate([scene.landmarks, alone.landmarks]),
        np.append(scores, np.full(len(alone), UNSURE, np.float32)),
    )


def as_label(scene: Scene) -> dict[str, Any]:
    return {name: getattr(scene, name).tolist() for name in ("boxes", "landmarks", "scores")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "frames", "witness"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    witness = load_detector(args.witness, "auto", LEAST_SCORE)
    labels = json.loads((args.frames / "labels.json").read_text())
    wanted = {name: label for name, label in sorted(labels.items()) if not of_dev_clip(name)}
    frames = ((name, load_frame(args.frames / name, label)) for name, label in wanted.items())
    for file, scenes in (("frames.json", frames), ("photos.json", photos(args.data, lambda name: not dev_photo(name)))):
        before = after = added = 0
        told = {}
        for name, scene in track(scenes, file, total=len(wanted) if file == "frames.json" else None):
            new = merge_second(scene, detect_at_scales(witness, scene.image))
            told[name] = as_label(new)
            before, after = before + int((scene.scores >= SURE).sum()), after + int((new.scores >= SURE).sum())
            added += len(new.scores) - len(scene.scores)
        (args.frames / file).write_text(json.dumps(told))
        print(f"{file}: {before} sure faces before, {after} now, {added} unsure ones added", flush=True)
    (args.frames / "frames.txt").write_text(own_command())


if __name__ == "__main__":
    main()
