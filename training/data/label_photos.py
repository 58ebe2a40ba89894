"""Label photos with two detectors: the teacher, on the photo and on its doubled tiles, and a witness that confirms its
detections.

    python -m training.data.label_photos --photos PHOTOS --teacher scrfd_2.5g_kps.onnx --witness yunet.onnx --out labels.npz

``PHOTOS`` has one folder for each collection, named OWNER+NAME after its repository. Pictures are skipped and counted if
they are unreadable, too small, near-duplicates of an earlier one (`training.data.alike`), or held out (`training.data.held_out`),
including copies of held-out pictures in other collections. Photos are reduced to a longer side of at most 640 pixels.
Collections are interleaved, so a stopped run has labelled some of each. The same command continues a
stopped run. ``--known`` is the index of photos that are already labelled (``DATA/scenes2/index.csv``).
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models import Detector, load_detector
from models.faces import Faces, pairwise_iou
from training.data.alike import FingerprintSet, fingerprint
from training.data.held_out import held_out
from training.data.label_frames import LEAST_SCORE, label_frame
from training.data.voted import LEAST_WITNESS, Votes, load_votes, origins, read_photo, save_votes

SUFFIXES = ".jpg", ".jpeg", ".png", ".webp"
LEAST = 160  # smallest longer side of a photo in pixels
EVERY = 40  # the file is written after this many photos
ALONE, SAME = 0.5, 0.35  # smallest score of a detection of the witness only; IoU of two detections of one face
SCALES = (1.0, 2.0)


def votes(teacher: Detector, witness: Detector, image: NDArray[np.uint8]) -> Votes:
    """Detections of both detectors in a photo uint8 (H, W, 3) RGB."""
    faces = label_frame(teacher, image)
    parts = []
    for scale in SCALES:
        sized = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        parts.append(witness.detect([sized])[0].scaled(1 / scale))
    second = Faces.merge(parts)
    overlap = pairwise_iou(faces.boxes, second.boxes)
    agreed = (np.where(overlap >= SAME, second.scores[None], 0)).max(1, initial=0)
    alone = second[(overlap.max(0, initial=0) < SAME) & (second.scores >= ALONE)].with_nms()
    return Votes(image.shape[1::-1], faces, agreed.astype(np.float32), alone)


def listed(photos: Path) -> tuple[list[str], list[str]]:
    """List the pictures below a folder, collections interleaved: training pictures, and held-out pictures."""
    collections, kept = [], []
    for folder in sorted(path for path in photos.iterdir() if path.is_dir() and "+" in path.name):
        found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        rng = np.random.default_rng(len(found))
        names = [str(found[n].relative_to(photos)) for n in rng.permutation(len(found))]
        out = [held_out(*split(name)) for name in names]
        kept += list(itertools.compress(names, out))
        collections.append([name for name, left_out in zip(names, out, strict=True) if not left_out])
    turns = itertools.chain.from_iterable(itertools.zip_longest(*collections))
    return [name for name in turns if name is not None], kept


def split(name: str) -> tuple[str, str]:
    """Repository and path from a photo's name OWNER+NAME/PATH."""
    collection, _, path = name.partition("/")
    return collection.replace("+", "/", 1), path


def unlike(photos: Path, names: list[str], kept: list[str], left_out: Counter[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield name and pixels of each picture once, without near-duplicates of earlier or held-out ones.

    Args:
        photos: folder of the collections.
        names: training pictures.
        kept: held-out pictures.
        left_out: counts the pictures left out, by reason.
    """
    shown = FingerprintSet()
    for name in kept:
        image = cv2.imdecode(np.fromfile(photos / name, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_4)
        if image is not None:
            shown.add(fingerprint(image.astype(np.uint8)))
    for name in names:
        image = read_photo(photos / name)
        if image is None or max(image.shape[:2]) < LEAST:
            left_out["broken" if image is None else "tiny"] += 1
            continue
        own = fingerprint(image)
        if shown.has(own, fingerprint(np.ascontiguousarray(image[:, ::-1]))):
            left_out["shown before"] += 1
            continue
        shown.add(own)
        yield name, image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("photos", "teacher", "witness", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--known", type=Path, help="index.csv of photos that are labelled elsewhere")
    parser.add_argument("--most", type=int, help="photos that are labelled")
    args = parser.parse_args()
    teacher, witness = load_detector(args.teacher, "auto", LEAST_SCORE), load_detector(args.witness, "auto", LEAST_WITNESS)
    names, kept = listed(args.photos)
    known = {"/".join((row[0].replace("/", "+"), row[1])) for row in origins(args.known).values()} if args.known else set()
    names = [name for name in names if name not in known]
    print(f"{len(names)} photos, {len(kept)} kept for measuring", flush=True)
    labelled: dict[str, Any] = load_votes(args.out) if args.out.exists() else {}
    left_out: Counter[str] = Counter()
    for number, (name, image) in enumerate(unlike(args.photos, names, kept, left_out)):
        if args.most and number >= args.most:
            break
        if name in labelled:
            continue
        labelled[name] = votes(teacher, witness, image)
        if len(labelled) % EVERY == 0:
            save_votes(args.out, labelled)
            print(f"{len(labelled)} labelled, left out {dict(left_out)}", flush=True)
    save_votes(args.out, labelled)
    print(f"{len(labelled)} labelled, left out {dict(left_out)}", flush=True)


if __name__ == "__main__":
    main()
