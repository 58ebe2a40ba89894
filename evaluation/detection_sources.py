"""Detection on held-out sources: recall by face width, camera and source, and false positives.

    python -m evaluation.detection_sources --photos PHOTOS --clips DATA/videos --out report.json
        [--detector own.safetensors ...] [--other yunet.onnx scrfd_500m.onnx ...] [--every 1] [--false-positives FOLDER]
    python -m evaluation.detection_sources --photos PHOTOS --singles --out singles.json [--detector own.safetensors | yunet.onnx]

The photos are in public GitHub repositories. Clone each and put its files into PHOTOS/OWNER+NAME with their paths:

    MacwinWin/face_mask_dataset           data/images         groups, families, masks
    Huyhoclaptrinh/smoking-detection      dataset/images      hands at the mouth, profiles; photos of one person
    MonsterVivy/shanghaitech              part_B              streets with faces of 8 to 40 px
    EliSchwartz/imagenet-sample-images    (all)               objects, animals, rooms: images without any face

Every image is measured at full size, 1/2 and 1/3, clean and degraded (`evaluation.detection.poor_camera`).
Ground truth: `evaluation.source_labels`. Recall is taken at the score thresholds with 0.5 and 0.1 false positives per image,
for each source and for all together. Ignored regions, and faces below 8 px in a view, count neither as hits nor as misses; a
detection with half its area in such a region is not a false positive. On face-free images, false positives are counted at
fixed scores.
``--every 4`` takes every fourth image. ``--false-positives FOLDER`` writes a sheet of the hundred false positives with the
highest scores; it shows other people's photos, so keep it out of the repository. ``--singles`` measures the enrolment gate:
which photos of one person it refuses and why. Missing images are counted in the report.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from evaluation.detection import EYE_DISTANCE_SHARE, MatchedFrame, match_detections, poor_camera, score_at_fp_rate
from evaluation.detection_card import card_figures
from evaluation.false_sheet import FalsePositive, write_sheet
from evaluation.source_labels import Picture, load_pictures, photo_path, read_pictures
from models import load_detector, load_recognizer
from models.weights_io import WEIGHTS, update_card
from training.data.scenes import Scene
from training.detector.scene_maker import SURE, UNSURE

SIZES = 1, 1 / 2, 1 / 3
LOOKS = "clean", "poor"
BINS = (8, 12), (12, 16), (16, 24), (24, 32), (32, 64)
FP_RATES = 0.5, 0.1
SCORES = (
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
)  # include the pipeline's min_score (0.2) and its minimum scores of a shot (0.4) and of a new track (0.6)
MIN_SCORE = 0.05
MIN_WIDTH = BINS[0][0]  # pixels; narrower faces of a view are ignored
TINY_REGION = 2.0  # size of the ignored region over that of the face: boxes this small are off by a pixel or two
MIN_INSIDE = 0.5  # a detection with at least this share of its area in an ignored region is not a false positive
MIN_HARD_WIDTH = 12.0  # width in pixels of the profiles and occluded faces that are counted


@dataclass(frozen=True)
class ViewResult:
    """Detections on an image at one scale and condition (clean or degraded), matched to its labels."""

    picture: Picture
    size: float
    look: str
    result: MatchedFrame


def detect_views(
    picture: Picture, image: NDArray[np.uint8], detector: Any, falses: list[FalsePositive] | None = None
) -> list[ViewResult]:
    """Run a detector on an image at all scales and conditions.

    Args:
        picture: the labels.
        image: uint8 (H, W, 3) RGB.
        detector: the detector.
        falses: false positives are appended to it.
    """
    rng = np.random.default_rng(0)
    truth = picture.scene(image)
    found = []
    for size in SIZES:
        small = cv2.resize(image, None, fx=size, fy=size, interpolation=cv2.INTER_AREA).astype(np.uint8) if size < 1 else image
        for look in LOOKS:
            shown = poor_camera(small, rng) if look == "poor" else small
            faces = detector.detect([shown])[0]
            scene = view_labels(Scene(shown, truth.boxes * size, truth.landmarks * size, truth.scores))
            seen = ignore_inside(match_detections(scene, faces))
            if falses is not None:
                where = f"{picture.path} {look} 1/{round(1 / size)}"
                falses += [
                    FalsePositive.crop(where, shown, faces.boxes[i], float(faces.scores[i]))
                    for i in np.flatnonzero(seen.face_index < 0)
                ]
            kept = Scene(shown[:0], scene.boxes, scene.landmarks, scene.scores)  # without pixels
            found.append(ViewResult(picture, size, look, MatchedFrame(kept, faces, seen.face_index)))
    return found


def view_labels(scene: Scene) -> Scene:
    """Labels of a view. Faces under `MIN_WIDTH` become ignored regions of `TINY_REGION` times their size."""
    sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
    tiny = sides[:, 0] < MIN_WIDTH
    grown = scene.boxes + np.hstack([-sides, sides]) * (TINY_REGION - 1) / 2
    boxes = np.where(tiny[:, None], grown, scene.boxes).astype(np.float32)
    return Scene(scene.image, boxes, scene.landmarks, np.where(tiny, UNSURE, scene.scores).astype(np.float32))


def ignore_inside(seen: MatchedFrame) -> MatchedFrame:
    """Match unmatched detections inside an ignored region to that region, so they are not false positives."""
    boxes, labels = seen.faces.boxes[:, None], seen.scene.boxes[None]
    if not labels.size or not boxes.size:
        return seen
    common = np.clip(np.minimum(boxes[..., 2:], labels[..., 2:]) - np.maximum(boxes[..., :2], labels[..., :2]), 0, None).prod(-1)
    inside = common / np.maximum(1e-6, (boxes[..., 2:] - boxes[..., :2]).prod(-1)) * (seen.scene.scores < SURE)
    ignored = (seen.face_index < 0) & (inside.max(1) >= MIN_INSIDE)
    return MatchedFrame(seen.scene, seen.faces, np.where(ignored, inside.argmax(1), seen.face_index))


def recall_summary(all_views: Sequence[ViewResult], least: float) -> dict[str, Any]:
    """Metrics of detections with a score of ``least`` or more.

    Returns:
        Recall in % by face width, for profiles and for occluded faces; median landmark error in % of the eye distance of a
        frontal face; false positives per image.
    """
    counts: Counter[str] = Counter()
    right: Counter[str] = Counter()
    errors: dict[str, list[float]] = defaultdict(list)
    for view in all_views:
        seen, kinds = view.result, view.picture.kinds
        found = {int(h): i for i, h in enumerate(seen.face_index) if h >= 0 and seen.faces.scores[i] >= least}
        widths = seen.scene.boxes[:, 2] - seen.scene.boxes[:, 0]
        for face in np.flatnonzero(seen.scene.scores == 1.0):
            width, names = float(widths[face]), []
            names += [f"{low}-{high}" for low, high in BINS if low <= width < high]
            names += [kinds[face]] if kinds[face] in ("profile", "hidden") and MIN_HARD_WIDTH <= width < BINS[-1][1] else []
            counts.update(names)
            if int(face) in found:
                right.update(names)
                apart = seen.faces.landmarks[found[int(face)]] - seen.scene.landmarks[face]
                away = float(np.linalg.norm(apart, axis=1).mean()) / (EYE_DISTANCE_SHARE * width)
                if names and np.isfinite(away):
                    errors[names[0]].append(away)
    names = [f"{low}-{high}" for low, high in BINS] + ["profile", "hidden"]
    falses = sum(int((view.result.faces.scores[view.result.face_index < 0] >= least).sum()) for view in all_views)
    return {
        "least_score": round(least, 3),
        "false_a_picture": round(falses / max(1, len(all_views)), 3),
        "faces": {name: counts[name] for name in names},
        "recall": {name: round(100 * right[name] / counts[name], 1) if counts[name] else None for name in names},
        "landmark_error": {name: round(100 * float(np.median(errors[name])), 1) for name in names if errors[name]},
    }


def false_positive_summary(all_views: Sequence[ViewResult]) -> dict[str, Any]:
    """False positives per image, and % of images with at least one, at fixed scores; for face-free images."""
    found: dict[str, Any] = {"pictures": len(all_views)}
    for score in SCORES:
        falses = [int((view.result.faces.scores[view.result.face_index < 0] >= score).sum()) for view in all_views]
        found[str(score)] = {
            "a_picture": round(float(np.mean(falses)), 4) if falses else None,
            "with_one": round(100 * float(np.mean([n > 0 for n in falses])), 2) if falses else None,
        }
    return found


def build_report(all_views: Sequence[ViewResult]) -> dict[str, Any]:
    """Build the report by condition (clean, degraded).

    Returns:
        ``recall``: of all sources and of each, at false positive rates; ``at``: the same at fixed scores; ``empty``: false
        positives on face-free images, at all scales and at full size.
    """
    told: dict[str, Any] = {}
    for look in LOOKS:
        part = [view for view in all_views if view.look == look]
        faces = [view for view in part if view.picture.use == "faces"]
        empty = [view for view in part if view.picture.use == "empty"]
        sources = {"all": faces} | {s: [v for v in faces if v.picture.source == s] for s in sorted({source_of(v) for v in faces})}
        told[look] = {
            "recall": {
                name: {str(rate): recall_summary(own, score_at_fp_rate([v.result for v in own], rate)) for rate in FP_RATES}
                for name, own in sources.items()
            },
            "at": {name: {str(score): recall_summary(own, score) for score in SCORES} for name, own in sources.items()},
            "empty": {
                "all sizes": false_positive_summary(empty),
                "full size": false_positive_summary([v for v in empty if v.size == 1]),
            },
        }
    return told


def source_of(view: ViewResult) -> str:
    """The source of the image."""
    return view.picture.source


def gate_report(pictures: Iterable[Picture], photos: Path, detector: Any) -> dict[str, Any]:
    """Run the enrolment gate on photos of one person; counts acceptances and reasons of refusal."""
    from watchlist.enrolment import Gate

    gate = Gate(detector, load_recognizer(device="cpu"))
    reasons: Counter[str] = Counter()
    refused = []
    for picture in track(list(pictures), "photos of one person"):
        reason = gate.judge("somebody", photo_path(picture, photos)).reason
        reasons[reason.split(":")[0] or "enrolled"] += 1
        if reason:
            refused.append([picture.source, picture.path, reason])
    several = reasons["several_faces"]
    total = sum(reasons.values()) - reasons["unreadable"]
    return {"photos": total, "several_faces_%": round(100 * several / max(1, total), 1), "reasons": reasons, "refused": refused}


def show(name: str, told: dict[str, Any]) -> None:
    for look, part in told.items():
        for rate in map(str, FP_RATES):
            for of, row in ((of, rows[rate]) for of, rows in part["recall"].items()):
                cells = "  ".join(
                    f"{k} {'-' if v is None else f'{v:5.1f}'} ({row['faces'][k]})" for k, v in row["recall"].items()
                )
                print(f"{name}, {look}, {of}, {rate} a frame (score {row['least_score']}): {cells}")
                print(f"  landmarks {row['landmark_error']}")
        for score, row in part["at"]["all"].items():
            print(f"{name}, {look}, from {score} on: {row['recall']}, {row['false_a_picture']} false a picture")
        for size, row in part["empty"].items():
            print(f"{name}, {look}, face-free, {size}: {row}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path, default=Path("videos"))
    parser.add_argument("--detector", type=Path, nargs="*", default=[], help="weights of our network; default: the shipped ones")
    parser.add_argument("--other", type=Path, nargs="*", default=[])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--false-positives", "--falses", type=Path, dest="falses", help="folder for sheets of false positives")
    parser.add_argument("--singles", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--write-card", action="store_true", help="write the figures of the shipped detector into its card")
    args = parser.parse_args()
    if args.write_card and args.detector:
        parser.error("--write-card: the card is of the shipped detector; leave --detector out")
    names: list[Path | None] = [*(args.detector or [None]), *args.other]
    pictures = load_pictures()
    if args.singles:
        singles = [picture for picture in pictures if picture.use == "single"][:: args.every]
        told = {detector_name(n): gate_report(singles, args.photos, load_detector(n, "cpu", 0.2)) for n in names}
        print(json.dumps(told, indent=1))
        args.out.write_text(json.dumps(told, indent=1))
        return
    wanted = [picture for picture in pictures if picture.use != "single"][:: args.every]
    detectors = {detector_name(name): load_detector(name, "cpu", MIN_SCORE) for name in names}
    found: dict[str, list[ViewResult]] = {name: [] for name in detectors}
    falses: dict[str, list[FalsePositive]] = {name: [] for name in detectors}
    missing = 0
    for picture, image in track(read_pictures(wanted, args.photos, args.clips), "pictures", total=len(wanted)):
        missing += image is None
        for name, detector in detectors.items() if image is not None else ():
            found[name] += detect_views(picture, image, detector, falses[name] if args.falses else None)
    if missing == len(wanted):
        raise SystemExit(
            f"farsight: {args.photos}: none of the {missing} pictures is there; put the repositories' files there (see --help)"
        )
    print(f"{len(wanted)} pictures, {missing} of them missing or of another size than labelled")
    report = {"pictures": len(wanted), "missing": missing, "detectors": {n: build_report(v) for n, v in found.items()}}
    for name, told in report["detectors"].items():
        show(name, told)
    if args.falses:
        args.falses.mkdir(parents=True, exist_ok=True)
        report["surest_false"] = {n: write_sheet(args.falses / f"{n}.png", f) for n, f in falses.items()}
    args.out.write_text(json.dumps(report, indent=1))
    if args.write_card:
        update_card(WEIGHTS / "detector.json", figures=card_figures(report["detectors"]["farsight"], args.every))


def detector_name(name: Path | None) -> str:
    """The name of a detector in the report."""
    return "farsight" if name is None else name.stem


if __name__ == "__main__":
    main()
