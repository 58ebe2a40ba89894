"""Correct the teacher's labels with a second detector: detections of both become faces; detections of only the second are ignored
regions.

    python -m training.data.second_opinion --data DATA --frames .cache/frames --second yunet.onnx

Teacher scores are lowest for profiles and for cropped or half occluded faces. A detector does not learn faces without labels,
and unlearns faces that are labelled as background. Writes ``frames.json`` and ``photos.json``: the labels of the frames and of
``DATA/scenes`` with
the additions. The labels used for evaluation are not changed. The score limits were chosen by inspection: below them, both
detectors report the backs of heads as faces.
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
from training.common.runs import current_command
from training.data.scenes import SURE, UNSURE, Scene, dev_photo, load_frame, of_dev_clip, photos

MIN_SCORE_SUM, MIN_SCORE_ALONE = (
    1.15,
    0.6,
)  # smallest sum of both scores of a sure label; smallest score of a face that only the second detector finds
LEAST_SCORE = 0.5
SAME = 0.4  # IoU from which on two detections are one face
SCALES = (1.0, 2.0)


def detect_at_scales(second_detector: Detector, image: np.ndarray) -> Faces:
    """Detect faces in a picture uint8 (H, W, 3) at full and at doubled size, merged by NMS."""
    parts = []
    for scale in SCALES:
        sized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        parts.append(second_detector.detect([sized])[0].scaled(1 / scale))
    return Faces.merge(parts).with_nms()


def merge_second(scene: Scene, second: Faces) -> Scene:
    """Merge the detections of a second detector into a scene.

    Args:
        scene: labels of the teacher.
        second: detections of the second detector.

    Returns:
        The scene. Doubtful labels confirmed by ``second`` become sure; the other detections of ``second`` become ignored regions.
    """
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
    for name in ("data", "frames"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--second", "--witness", type=Path, required=True, help="the second detector, for example YuNet")
    args = parser.parse_args()
    second_detector = load_detector(args.second, "auto", LEAST_SCORE)
    labels = json.loads((args.frames / "labels.json").read_text())
    wanted = {name: label for name, label in sorted(labels.items()) if not of_dev_clip(name)}
    frames = ((name, load_frame(args.frames / name, label)) for name, label in wanted.items())
    for file, scenes in (("frames.json", frames), ("photos.json", photos(args.data, lambda name: not dev_photo(name)))):
        before = after = added = 0
        labelled = {}
        for name, scene in track(scenes, file, total=len(wanted) if file == "frames.json" else None):
            new = merge_second(scene, detect_at_scales(second_detector, scene.image))
            labelled[name] = as_label(new)
            before, after = before + int((scene.scores >= SURE).sum()), after + int((new.scores >= SURE).sum())
            added += len(new.scores) - len(scene.scores)
        (args.frames / file).write_text(json.dumps(labelled))
        print(f"{file}: {before} sure faces before, {after} now, {added} unsure ones added", flush=True)
    (args.frames / "frames.txt").write_text(current_command())


if __name__ == "__main__":
    main()
