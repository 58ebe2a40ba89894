"""Make a pool of training pictures for the detector. One picture takes as long as a training step, so each is used several times.

    python -m training.detector.scene_pool --data DATA --frames .cache/frames --out .cache/scenes [--number 24000]

Inputs in the folder of frames: ``frames.json`` and ``photos.json`` (`training.data.second_opinion`) and ``chips.npz``
(`training.data.label_chips`), if they exist.

Outputs: ``images.npy`` uint8 (N, side, side, 3) RGB; ``faces.npz`` with ``count`` (N,) and, in the order of the pictures,
``boxes`` (M, 4), ``landmarks`` (M, 5, 2) and ``scores`` (M,); ``command.txt``, which goes into the card of the trained network.

Hard negatives are detections of the shipped detector in the training photos and frames where the teacher labelled no face.
``--witness``, a
second detector such as YuNet, rejects crops in which it finds a face: the teacher's labels lack profiles and cropped faces, which
must not become negatives. Hard negatives are cached in ``lures.npz`` in the folder of frames, and recomputed when the shipped
detector, the witness's name or the labels change. If the witness's file is missing, the cache of the same witness is used.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models import Detector, load_detector
from models.detection import SmallFaceDetector
from models.faces import Faces
from models.weights_io import WEIGHTS, digest
from training.common.runs import current_command
from training.data.chips import load_chips
from training.data.scenes import SURE, Scene, load_frames, load_train_photos
from training.data.voted import LABELS, second_scenes, voted_photos
from training.detector.scene_maker import SceneMaker

SIDE = 320
SHIPPED = WEIGHTS / "detector.safetensors"
HARD_NEGATIVE_SCORE, HARD_NEGATIVE_SCALES, HARD_NEGATIVE_ROOM = 0.25, (1.0, 0.5, 0.25), 1.6
HARD_NEGATIVE_OVERLAP = 0.2  # overlap with a labelled face, as a share of the smaller box, from which a crop is rejected
WITNESSED = 0.3  # score of the second detector from which a crop is rejected
WITNESS_SIDE = 160  # longer side in pixels of a crop as input of the second detector

_maker: SceneMaker
_images: NDArray[np.uint8]


def mine_hard_negatives(scenes: list[Scene], witness: Detector | None = None) -> list[NDArray[np.uint8]]:
    """Crop false detections of the shipped detector.

    Args:
        scenes: labelled pictures.
        witness: a second detector; crops in which it finds a face are rejected. None: no check.

    Returns:
        Crops uint8 (h, w, 3) RGB with a margin. Their overlap with every labelled face is below `HARD_NEGATIVE_OVERLAP`.
    """
    detector, crops = SmallFaceDetector(SHIPPED, "auto", HARD_NEGATIVE_SCORE, verify=False), []
    for scene in track(scenes, "hard negatives"):
        for scale in HARD_NEGATIVE_SCALES:
            small = cv2.resize(scene.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.uint8)
            for box in detector.detect([small])[0].boxes / scale:
                centre, half = box.reshape(2, 2).mean(0), (box[2:] - box[:2]).max() / 2 * HARD_NEGATIVE_ROOM
                x1, y1, x2, y2 = np.hstack([np.maximum(centre - half, 0), centre + half]).astype(int)
                piece = scene.image[y1:y2, x1:x2]
                if (
                    min(piece.shape[:2]) >= 8
                    and overlap_share([x1, y1, x2, y2], scene.boxes) < HARD_NEGATIVE_OVERLAP
                    and not detected_by(witness, piece)
                ):
                    crops.append(np.ascontiguousarray(piece))
    return crops


def overlap_share(box: list[int], faces: NDArray[np.float32]) -> float:
    """Largest overlap of a box with any of the faces (N, 4), as a share of the smaller of the two."""
    sides = np.minimum(faces[:, 2:], box[2:]) - np.maximum(faces[:, :2], box[:2])
    smaller = np.minimum((faces[:, 2:] - faces[:, :2]).prod(1), (box[2] - box[0]) * (box[3] - box[1]))
    return float((sides.clip(0).prod(1) / np.maximum(smaller, 1)).max(initial=0))


def detected_by(witness: Detector | None, piece: NDArray[np.uint8]) -> bool:
    """Whether a second detector finds a face in a crop (H, W, 3) scaled to `WITNESS_SIDE`."""
    if witness is None:
        return False
    scale = WITNESS_SIDE / max(piece.shape[:2])
    near = cv2.resize(piece, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR).astype(np.uint8)
    return len(witness.detect([near])[0]) > 0


def hard_negatives_key(witness: Path | None, labels: Sequence[Path]) -> dict[str, str]:
    """The cache key of hard negatives: the shipped detector, the witness's name and the label files."""
    return {"detector": digest(SHIPPED), "witness": witness.name if witness else "", "labels": " ".join(map(digest, labels))}


def cached_hard_negatives(
    file: Path, key: dict[str, str], make: Callable[[], list[NDArray[np.uint8]]], can_make: bool = True
) -> list[NDArray[np.uint8]]:
    """Load hard negatives from a cache file, or compute and cache them.

    Args:
        file: the cache.
        key: cache key (`hard_negatives_key`).
        make: computes the crops if the file is missing or has another key.
        can_make: False if the witness's file is missing; then a cache of the same witness is used even if its key differs.

    Raises:
        SystemExit: the crops can neither be computed nor read.
    """
    cached_key = _key_of(file)
    if not can_make and cached_key != key:
        if cached_key.get("witness") != key["witness"]:
            raise SystemExit(f"{file}: no hard negatives by the witness {key['witness']}, whose own file is not there")
        print(f"{file}: of another detector or other labels; {key['witness']} is not there to make them anew", flush=True)
    elif cached_key != key:
        codes = [cv2.imencode(".webp", piece[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 95])[1].ravel() for piece in make()]
        part, sizes = file.with_suffix(".part.npz"), [len(code) for code in codes]
        np.savez(part, key=json.dumps(key), sizes=sizes, codes=np.concatenate(codes or [np.zeros(0, np.uint8)]))
        part.rename(file)
    with np.load(file) as pieces:
        codes = np.split(pieces["codes"], np.cumsum(pieces["sizes"].astype(int))[:-1]) if len(pieces["sizes"]) else []
    return [np.ascontiguousarray(cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1]).astype(np.uint8) for code in codes]


def _key_of(file: Path) -> dict[str, str]:
    """The key of a cache file; empty if there is none."""
    if not file.exists():
        return {}
    with np.load(file) as kept:
        return dict(json.loads(str(kept["key"]))) if "key" in kept else {}


def load_chip_labels(file: Path) -> Faces | None:
    """The labels of `training.data.label_chips`; None if the file does not exist."""
    if not file.exists():
        return None
    with np.load(file) as labels:
        return Faces(*(labels[name].astype(np.float32) for name in ("boxes", "landmarks", "scores")))


def load_pool(folder: Path) -> list[Scene]:
    """Read a pool. The pictures are memory-mapped."""
    images = np.load(folder / "images.npy", mmap_mode="r")
    with np.load(folder / "faces.npz") as faces:
        ends = np.cumsum(faces["count"])[:-1]
        boxes, landmarks, scores = (np.split(faces[name], ends) for name in ("boxes", "landmarks", "scores"))
    return [Scene(*parts) for parts in zip(images, boxes, landmarks, scores, strict=True)]


def _make_one(seed: int, number: int) -> Scene:
    """Write one picture to its row of the pool, and return its labels without pixels."""
    cv2.setNumThreads(0)
    scene = _maker.make(np.random.default_rng((seed, number)))
    _images[number] = scene.image
    return Scene(scene.image[:0, :0], scene.boxes, scene.landmarks, scene.scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "frames", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--photos", type=Path, help="folder of the photos that training.data.label_photos has labelled")
    parser.add_argument("--photo-labels", type=Path, default=LABELS, help="what it wrote, if not what the project keeps")
    parser.add_argument("--witness", type=Path, help="another detector: what it takes for a face is no hard negative")
    parser.add_argument("--turned", type=Path, help="folder of training.data.pose_augmentation, whose chips are pasted as well")
    parser.add_argument("--processes", type=int, help="at once; as many as there are cores")
    parser.add_argument("--number", type=int, default=24_000)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    others = [args.frames / "frames.txt", args.frames / "chips.txt", *([args.turned / "command.txt"] if args.turned else [])]
    commands = [file.read_text() for file in (args.frames / "command.txt", *filter(Path.exists, others))]
    chips = load_chips(args.data, args.cache)
    second = [file if (file := args.frames / name).exists() else None for name in ("photos.json", "frames.json")]
    photos, frames = load_train_photos(args.data, second[0]), load_frames(args.frames, False, second[1])
    voted = [scene for _, scene in second_scenes(args.data)] if (args.data / "scenes2").exists() else []
    voted += [scene for _, scene in voted_photos(args.photos, args.photo_labels)] if args.photos else []
    photos += [scene for scene in voted if (scene.scores >= SURE).any()]

    def make_hard_negatives() -> list[NDArray[np.uint8]]:
        empty = [scene for scene in voted if not (scene.scores >= SURE).any()]
        return mine_hard_negatives(
            photos + frames + empty, load_detector(args.witness, "auto", WITNESSED) if args.witness else None
        )

    own = args.data / "scenes" / "labels.json", args.frames / "labels.json"
    further = [args.photo_labels] if args.photos else []
    key = hard_negatives_key(args.witness, [*(other or file for other, file in zip(second, own, strict=True)), *further])
    can_make = args.witness is None or args.witness.exists()
    pieces = cached_hard_negatives(args.frames / "lures.npz", key, make_hard_negatives, can_make)
    labels = load_chip_labels(args.frames / "chips.npz")
    print(f"{len(photos)} photos, {len(frames)} frames, {len(voted)} voted on, {len(pieces)} hard negatives", flush=True)
    global _maker, _images
    faces, rows = chips.images, np.flatnonzero(chips.train)
    if args.turned:
        if labels is None:
            raise SystemExit(
                f"{args.frames / 'chips.npz'}: --turned needs those of the other chips too (training.data.label_chips)"
            )
        more = np.load(args.turned / "images.npy")
        rows = np.concatenate([rows, len(faces) + np.arange(len(more))])
        faces, labels = np.concatenate([faces, more]), Faces.merge([labels, load_chip_labels(args.turned / "faces.npz")])
    _maker = SceneMaker(photos, frames + voted, faces, rows, SIDE, pieces, labels)
    args.out.mkdir(parents=True, exist_ok=True)
    part = args.out / "images.part"
    _images = np.lib.format.open_memmap(part, "w+", np.uint8, (args.number, SIDE, SIDE, 3))  # the workers write into it
    with ProcessPoolExecutor(args.processes, mp_context=multiprocessing.get_context("fork")) as workers:
        jobs = workers.map(_make_one, itertools.repeat(args.seed), range(args.number), chunksize=20)
        made = list(track(jobs, "scenes", total=args.number))
    np.savez(
        args.out / "faces.npz",
        count=np.array([len(s.scores) for s in made]),
        boxes=np.concatenate([s.boxes for s in made]).astype(np.float32),
        landmarks=np.concatenate([s.landmarks for s in made]).astype(np.float32),
        scores=np.concatenate([s.scores for s in made]).astype(np.float32),
    )
    (args.out / "command.txt").write_text("\n".join([*commands, current_command()]))
    part.rename(args.out / "images.npy")


if __name__ == "__main__":
    main()
