"""Train the network that looks at the detector's candidates once more (models/rescoring.py).

    python -m training.train_rescore --data DATA --scenes .cache/scenes --out runs/rescore       # 2 cores, about 25 min

The detector offers candidates in the scenes of `training.scene_pool`: those on a labelled face (IoU of `FACE` and more) are
faces, those that overlap none are not, and the rest, like whatever lies on a face its teacher was unsure of, is left out. So is
what ``--witness``, another detector (YuNet), takes for a face: teachers overlook profiles and faces that the picture cuts, and
who learns that those are none will miss them. A pool of views is made first; it lies in the run's folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track

from models import load_detector
from models.detecting import SmallFaceDetector
from models.faces import Faces, pairwise_iou
from models.rescoring import RescoreNet, octaves, to_logits, views
from models.runtime import autocast
from models.weights_io import WEIGHTS
from training.detector_scenes import SURE
from training.loop import Run, plan
from training.runs import averaged
from training.scene_pool import WITNESSED, load_pool
from training.scenes import Scene

PRESETS = {
    "cpu": {"samples": 1_200_000, "batch": 256, "lr": 2e-3},
    "gpu": {"samples": 12_000_000, "batch": 1024, "lr": 2e-3},
}
FACE, NONE = 0.45, 0.3  # IoU with a label from which on a candidate is a face, and below which it is none
SHARE = 0.25  # of faces among what is shown
SHIFT, STRETCH = 0.04, 0.08  # how boxes vary, in shares of their height
NEGATIVES = 12  # a scene
OFFERED = 0.1  # the detector's score of what is learned from
LEVELS, NOISE = (0.5, 1.2), (-8.0, 8.0)  # exposure, and grey levels of noise (half of the views have none)
AT_ONCE = 16


def verdicts(scene: Scene, boxes: NDArray[np.float32], doubtful: NDArray[np.float32] | None = None) -> NDArray[np.int8]:
    """For each candidate (N, 4): 1 a face, 0 none, -1 left out, like what lies on a ``doubtful`` box (M, 4)."""
    sure = scene.scores >= SURE
    overlap = pairwise_iou(boxes, scene.boxes)
    on_face = overlap[:, sure].max(1, initial=0)
    centres = boxes.reshape(-1, 2, 2).mean(1)[:, None]
    unsure = scene.boxes[~sure] if doubtful is None else np.concatenate([scene.boxes[~sure], doubtful])
    on_unsure = ((centres >= unsure[:, :2]) & (centres <= unsure[:, 2:])).all(2).any(1)
    found = np.where(on_face >= FACE, 1, np.where((on_face < NONE) & ~on_unsure, 0, -1))
    return found.astype(np.int8)


def chosen(
    scene: Scene, faces: Faces, doubtful: NDArray[np.float32] | None, rng: np.random.Generator
) -> tuple[NDArray, NDArray, NDArray, NDArray[np.int8]]:
    """Boxes, moved a little, logits, octaves and verdicts of a picture's candidates: all faces and up to `NEGATIVES` others."""
    told = verdicts(scene, faces.boxes, doubtful)
    others = np.flatnonzero(told == 0)
    rows = np.concatenate([np.flatnonzero(told == 1), rng.permutation(others)[:NEGATIVES]])
    boxes = faces.boxes[rows]
    height = (boxes[:, 3] - boxes[:, 1])[:, None]
    centre = boxes.reshape(-1, 2, 2).mean(1) + rng.normal(0, SHIFT, (len(boxes), 2)) * height
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.exp(rng.normal(0, STRETCH, (len(boxes), 1)))
    return np.hstack([centre - half, centre + half]), to_logits(faces.scores[rows]), octaves(boxes), told[rows]


def make_pool(args: argparse.Namespace, device: str, side: int) -> tuple[NDArray[np.uint8], NDArray, NDArray[np.int8]]:
    """Views (N, side, side, 3), logits and octaves (2, N) and verdicts (N,) of candidates, from the run's folder if they are
    there."""
    path = args.out / "pool.npz"
    if not path.exists():
        detector = SmallFaceDetector(args.detector, device, OFFERED, again=False)
        witness = load_detector(args.witness, device, WITNESSED) if args.witness else None
        rng, scenes, made = np.random.default_rng(args.seed), load_pool(args.scenes)[: args.number], []
        args.out.mkdir(parents=True, exist_ok=True)
        with (args.out / "views.raw").open("wb") as file:
            for first in track(range(0, len(scenes), AT_ONCE), "candidates"):
                several = scenes[first : first + AT_ONCE]
                for scene, faces in zip(several, detector.candidates([s.image for s in several], OFFERED), strict=True):
                    doubtful = witness.detect([scene.image])[0].boxes if witness else None
                    boxes, *rest = chosen(scene, faces, doubtful, rng)
                    file.write(views(np.ascontiguousarray(scene.image), boxes, side).tobytes())
                    made.append(rest)
        *own, judged = (np.concatenate(part) for part in zip(*made, strict=True))
        part = path.with_suffix(".part.npz")
        np.savez(part, own=own, verdicts=judged)
        part.rename(path)
    with np.load(path) as kept:
        own, told = kept["own"], kept["verdicts"]
    return np.memmap(args.out / "views.raw", np.uint8, "r", shape=(len(told), side, side, 3)), own, told


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        scenes={"type": Path, "required": True, "help": "folder of training.scene_pool"},
        detector={"type": Path, "default": WEIGHTS / "detector.safetensors", "help": "the one whose candidates are judged"},
        witness={"type": Path, "help": "another detector: what it takes for a face and no label does is left out"},
        number={"type": int, "default": 20_000, "help": "of scenes whose candidates are looked at"},
        start={"type": Path, "help": "begin with the weights of this run or file"},
    )
    args = job.args
    net = RescoreNet()
    pictures, own, told = make_pool(args, job.device, net.side)
    print(f"{len(told)} candidates, {told.mean():.0%} of them faces", flush=True)
    on_face, on_none = (np.flatnonzero(told == verdict) for verdict in (1, 0))
    if args.start:
        net.load_state_dict(averaged(args.start, {"RescoreNet": RescoreNet}).state_dict())
    net = net.to(job.device, memory_format=torch.channels_last)
    made_of = (args.scenes / "command.txt").read_text().splitlines()
    lr = job.preset["lr"]
    run = Run(
        args.out,
        net,
        job.steps,
        job.batch,
        lr,
        0.02,
        args.seed,
        muon=True,
        start=args.start,
        made_of=made_of,
        minutes=args.minutes,
    )

    def make(step: int) -> tuple[torch.Tensor, ...]:
        rng = run.rng(step)
        rows = np.where(rng.random(job.batch) < SHARE, rng.choice(on_face, job.batch), rng.choice(on_none, job.batch))
        levels, noise = (rng.uniform(*of, (job.batch, 1, 1, 1)).astype(np.float32) for of in (LEVELS, NOISE))
        seen = pictures[rows] * levels
        seen += rng.standard_normal(seen.shape, np.float32) * noise.clip(0)
        mirrored = rng.random(job.batch) < 0.5
        seen[mirrored] = seen[mirrored, :, ::-1]
        return torch.from_numpy(seen), torch.from_numpy(own[:, rows]), torch.from_numpy(told[rows].astype(np.float32))

    for seen, its_own, truth in run.batches(make, threads=8):
        x = seen.to(job.device).permute(0, 3, 1, 2).sub(127.5).div(127.5).contiguous(memory_format=torch.channels_last)
        with autocast(job.device):
            found = net(x, *its_own.to(job.device))
        run.update(F.binary_cross_entropy_with_logits(found.float(), truth.to(job.device)))


if __name__ == "__main__":
    main()
