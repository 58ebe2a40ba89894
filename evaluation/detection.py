"""Detection of small faces: recall, AP and landmark error by face width, and latency.

    python -m evaluation.detection --data DATA --frames .cache/frames [--other yunet.onnx ...] [--sheet sheet.png] [--write-card]

Data: two clips (`training.data.label_frames.DEV_CLIPS`) and the dev split of the scene photos
(`training.data.scenes.dev_photo`), at full size and five smaller scales, clean and degraded (`poor_camera`). Ground truth: the
teacher's labels at the largest size (doubled tiles for the clips), corrected by eye (`evaluation.detection_truth`).

Recall is taken at the score threshold with 0.5 false positives per frame, over all scales, and over scales 1/2 and 1/3 alone (the
smaller scales have few false positives). Faces with an uncertain teacher label are ignored. AP is the area under the
precision-recall curve of one width bin; its false positives are those of that width. The landmark error is the median, in
eye distances of a frontal face of that width. `unrefined` is our detector without verification and landmark refinement
(models/networks/verification.py, landmarks.py). Near faces are enlarged faces of the photos. ``--other`` takes YuNet and SCRFD
(ONNX) and MediaPipe's BlazeFace (.tflite). Latency is of one frame at a minimum score of 0.5 on the CPU. Do not publish the
sheet where the terms of the clips forbid it.
"""

from __future__ import annotations

import argparse
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.detection_truth import load_dev_photos
from evaluation.metrics import average_precision
from models import load_detector, weights_path
from models.detection import SmallFaceDetector
from models.faces import Faces, pairwise_iou
from models.runtime.devices import machine
from models.weights_io import read_card, update_card
from training.common.degradations import jpeg
from training.data.label_frames import DEV_CLIPS
from training.data.scenes import Scene, load_frames
from training.detector.scene_maker import SURE

BINS = ((8, 12), (12, 16), (16, 24), (24, 32), (32, 64), (64, 1000))
SCALES = (1, 1 / 2, 1 / 3, 1 / 5, 1 / 8, 1 / 12)
SIZES = {"1 to 1/12": SCALES, "1/2 and 1/3": (1 / 2, 1 / 3)}
EYE_DISTANCE_SHARE = 0.43  # eye distance over face width of a frontal face
FALSE_PER_FRAME = 0.5
MIN_IOU = 0.4
NEAR = (64, 128, 200, 300, 450, 700)  # widths of near faces
NEAR_FACES, NEAR_SURE, NEAR_FROM = 60, 0.7, 60  # number of near faces, their minimum score and width
NEAR_FRAME = (960, 800)  # the frame they are shown in


def poor_camera(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Degrade a frame uint8 (H, W, 3): blur sigma 0.6 px, gain 0.6, noise sigma 7, JPEG quality 45."""
    dim = cv2.GaussianBlur(image, (0, 0), 0.6).astype(np.float32) * 0.6
    noisy = np.clip(dim + rng.standard_normal(image.shape, np.float32) * 7, 0, 255).astype(np.uint8)
    return jpeg(noisy, 45)


def views_at_scales(frames: list[Scene], cctv: bool) -> list[Scene]:
    """Every frame at every scale of `SCALES`, with its labels; ``cctv`` applies `poor_camera`."""
    rng = np.random.default_rng(0)
    found = []
    for scene in frames:
        for scale in SCALES:
            small = cv2.resize(scene.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
            found.append(
                Scene(poor_camera(small, rng) if cctv else small, scene.boxes * scale, scene.landmarks * scale, scene.scores)
            )
    return found


@dataclass(frozen=True)
class MatchedFrame:
    """The detections of a frame, matched to its labels.

    Attributes:
        scene: the frame and its labels.
        faces: detections.
        face_index: int (N,), for each detection the row of the label it matches, -1 for none.
    """

    scene: Scene
    faces: Faces
    face_index: NDArray[np.intp]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """bool (N,): detections that count, which are all but those on ignored labels."""
        return np.array([h < 0 or self.scene.scores[h] >= SURE for h in self.face_index], bool)


def at_scales(seen: list[MatchedFrame], sizes: tuple[float, ...]) -> list[MatchedFrame]:
    """Select the results of `views_at_scales` that have these scales."""
    return [s for s, scale in zip(seen, itertools.cycle(SCALES), strict=False) if scale in sizes]


def match_detections(scene: Scene, faces: Faces) -> MatchedFrame:
    """Match detections to labels greedily, best score first.

    A detection takes the free label with the largest IoU, if it is at least `MIN_IOU`. Sure labels come before ignored ones; an
    ignored label may take any number of detections.
    """
    overlap = pairwise_iou(faces.boxes, scene.boxes)
    hit = np.full(len(faces), -1)
    sure = scene.scores >= SURE
    free = np.ones(len(scene.scores), bool)
    for i in np.argsort(-faces.scores):
        fits = np.flatnonzero(free & (overlap[i] >= MIN_IOU))
        if len(fits):
            hit[i] = fits[np.lexsort((overlap[i, fits], sure[fits]))[-1]]
            free[hit[i]] = not sure[hit[i]]
    return MatchedFrame(scene, faces, hit)


def score_at_fp_rate(seen: list[MatchedFrame], per_frame: float = FALSE_PER_FRAME) -> float:
    """The lowest score threshold with at most ``per_frame`` false positives a frame; 1.0 if there is none."""
    scores = np.concatenate([np.zeros(0, np.float32), *(s.faces.scores[s.counted] for s in seen)])
    right = np.concatenate([np.zeros(0, bool), *((s.face_index >= 0)[s.counted] for s in seen)])
    order = np.argsort(-scores)
    allowed = np.flatnonzero(np.cumsum(~right[order]) <= per_frame * len(seen))
    return float(scores[order][allowed[-1]]) if len(allowed) else 1.0


def metrics_by_width(seen: list[MatchedFrame]) -> dict[str, dict[str, float]]:
    """Metrics by bin of face widths: number of faces, recall and AP in %, median landmark error (``marks``) in %."""
    least = score_at_fp_rate(seen)
    found = {}
    for low, high in BINS:
        scores, right, errors, faces, known = [], [], [], 0, 0
        for s in seen:
            widths = s.scene.boxes[:, 2] - s.scene.boxes[:, 0]
            inside = (widths >= low) & (widths < high) & (s.scene.scores >= SURE)
            own = s.faces.boxes[:, 2] - s.faces.boxes[:, 0]
            of_bin = np.array([inside[h] if h >= 0 else low <= w < high for h, w in zip(s.face_index, own, strict=True)], bool)
            scores.append(s.faces.scores[of_bin])
            right.append(s.face_index[of_bin] >= 0)
            faces += int(inside.sum())
            for i in np.flatnonzero(of_bin & (s.face_index >= 0) & (s.faces.scores >= least)):
                known += 1
                away = np.linalg.norm(s.faces.landmarks[i] - s.scene.landmarks[s.face_index[i]], axis=1).mean()
                errors.append(away / (EYE_DISTANCE_SHARE * widths[s.face_index[i]]))
        found[f"{low}-{high}" if high < 1000 else f"{low}+"] = {
            "faces": faces,
            "recall": 100 * known / max(1, faces),
            "ap": 100 * average_precision(np.concatenate(scores), np.concatenate(right), faces),
            "marks": 100 * float(np.median(errors)) if errors else float("nan"),
        }
    return found


def summarise(seen: list[MatchedFrame]) -> dict[str, Any]:
    """`score_at_fp_rate` and `metrics_by_width`, rounded for the card."""
    rows = {k: {m: round(v, 1) for m, v in row.items()} for k, row in metrics_by_width(seen).items()}
    return {"least_score": round(score_at_fp_rate(seen), 3), "by_width": rows}


def near_face_recall(photos: list[Scene], detector: Any) -> dict[str, float]:
    """Recall in % of large faces of the photos, enlarged to each width of `NEAR`."""
    faces = [(photo, box) for photo in photos for box, sure in zip(photo.boxes, photo.scores, strict=True) if sure >= NEAR_SURE]
    faces = [(photo, box) for photo, box in faces if box[2] - box[0] >= NEAR_FROM][:NEAR_FACES]
    found = {}
    for width in NEAR:
        hits = 0
        for photo, box in faces:
            scale = width / float(box[2] - box[0])
            size = [round(n * scale) for n in photo.image.shape[1::-1]]
            method = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
            large = cv2.resize(photo.image, size, interpolation=method).astype(np.uint8)
            middle = box.reshape(2, 2).mean(0) * scale
            x, y = (int(np.clip(m - n / 2, 0, max(0, s - n))) for m, n, s in zip(middle, NEAR_FRAME, size, strict=True))
            window = np.ascontiguousarray(large[y : y + NEAR_FRAME[1], x : x + NEAR_FRAME[0]])
            overlap = pairwise_iou(detector.detect([window])[0].boxes, (box * scale - [x, y, x, y])[None].astype(np.float32))
            hits += bool((overlap >= MIN_IOU).any())
        found[str(width)] = round(100 * hits / max(1, len(faces)), 1)
    return found


def write_sheet(path: Path, scenes: list[Scene], detectors: dict[str, Any]) -> None:
    """Write an image of the detections above a score of 0.4: one row per detector, the same six frames."""
    chosen = sorted((s for s in scenes if s.image.shape[1] >= 200), key=lambda s: -len(s.scores))[:60:10]
    rows = []
    for name, detector in detectors.items():
        cells = []
        for scene in chosen:
            (faces,) = detector.detect([scene.image])
            zoom = 480 / scene.image.shape[1]
            cell = cv2.resize(scene.image, (480, 300))
            for box in faces.boxes[faces.scores >= 0.4] * zoom:
                box = box * (1, 300 / (scene.image.shape[0] * zoom), 1, 300 / (scene.image.shape[0] * zoom))
                cv2.rectangle(cell, (round(box[0]), round(box[1])), (round(box[2]), round(box[3])), (60, 255, 60), 1)
            cv2.putText(cell, name, (8, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 0), 2)
            cells.append(cell)
        rows.append(np.hstack(cells))
    cv2.imwrite(str(path), np.ascontiguousarray(np.vstack(rows)[..., ::-1]))


def latency_per_frame(detectors: dict[str, Any], frame: NDArray[np.uint8]) -> dict[str, float]:
    """Latency in milliseconds for one frame, median of ten.

    The detectors alternate, so that load on the machine affects all equally. Each runs twice per turn and the second run counts,
    because threads of the previous detector may still be spinning.
    """
    spent: dict[str, list[float]] = {name: [] for name in detectors}
    for _ in range(11):
        for name, detector in detectors.items():
            detector.detect([frame])
            started = time.perf_counter()
            detector.detect([frame])
            spent[name].append(1000 * (time.perf_counter() - started))
    return {name: round(float(np.median(found[1:])), 1) for name, found in spent.items()}


def open_detectors(others: list[Path], scales: list[float], min_score: float) -> dict[str, Any]:
    """Our detector, the same without verification and at other scales, and others, by name."""
    return {
        "farsight": load_detector(None, "cpu", min_score),
        **{f"and at x{scale:g}": load_detector(None, "cpu", min_score, [scale]) for scale in scales},
        "unrefined": SmallFaceDetector(weights_path(None, "detector"), "cpu", min_score, verify=False),
        **{path.stem: load_detector(path, "cpu", min_score) for path in others},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--other", type=Path, nargs="*", default=[])
    parser.add_argument(
        "--scales", type=float, nargs="*", default=[], help="further scales that our detector searches, each measured alone"
    )
    parser.add_argument("--sheet", type=Path)
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    photos = load_dev_photos(args.data)
    frames = load_frames(args.frames, dev=True) + photos
    detectors = open_detectors(args.other, args.scales, 0.05)
    found: list[dict[str, Any]] = []
    for cctv in (False, True):
        scenes = views_at_scales(frames, cctv)
        for name, detector in detectors.items():
            seen = [match_detections(s, detector.detect([s.image])[0]) for s in scenes]
            for sizes, scales in SIZES.items():
                found.append(
                    {"look": "cctv" if cctv else "clean", "detector": name, "sizes": sizes} | summarise(at_scales(seen, scales))
                )
                print("{look}, {detector}, sizes {sizes}, at a score of {least_score}".format(**found[-1]))
                for measure in ("faces", "recall", "ap", "marks"):
                    row = (f"{k}: {row[measure]:5g}" for k, row in found[-1]["by_width"].items())
                    print(f"  {measure:6} " + "  ".join(row), flush=True)
        if args.sheet and cctv:
            write_sheet(args.sheet, scenes, detectors)
    detectors = open_detectors(args.other, args.scales, 0.5)
    sized = {f"{w}x{h}": cv2.resize(frames[0].image, (w, h)).astype(np.uint8) for w, h in ((960, 540), (1920, 1080))}
    times = {size: latency_per_frame(detectors, frame) for size, frame in sized.items()}
    near = {name: near_face_recall(photos, detector) for name, detector in detectors.items()}
    for title, table in (("ms a frame of", times), ("% of near faces of these widths,", near)):
        for name, row in table.items():
            print(f"{title} {name}: {row}")
    if args.write_card:
        path = weights_path(None, "detector")
        card = read_card(path, "detector")
        others = "".join(f" {path.name}" for path in args.other)
        numbers = machine("cpu") + (", detector in 8 bits" if detectors["farsight"].int8 else "")
        scales = "".join(f" {scale:g}" for scale in args.scales)
        figures = {
            "command": "python -m evaluation.detection --data DATA --frames .cache/frames"
            + (f" --other{others}" if others else "")
            + (f" --scales{scales}" if scales else ""),
            "data": f"{', '.join(DEV_CLIPS)} and {len(photos)} photos at 1 to 1/12 size; % of faces, landmark error % of the eye "
            "distance",
            "rows": found,
            "near_faces": near,
            "ms_per_frame": card["figures"].get("ms_per_frame", {}) | {numbers: times},
        }
        update_card(path, figures=figures)


if __name__ == "__main__":
    main()
