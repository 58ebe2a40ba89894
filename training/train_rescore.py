"""Train the network that looks at the detector's candidates once more (models/rescoring.py).

    python -m training.train_rescore --data DATA --scenes .cache/scenes --out runs/rescore       # 2 cores, about 25 min

The detector offers candidates in the scenes of `training.scene_pool`: those on a labelled face (IoU of `FACE` and more) are
faces, those that overlap none are not, and the rest, like whatever lies on a face its teacher was unsure of, is left out. A pool
of views is made first; it lies in the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track

from models.detecting import SmallFaceDetector
from models.faces import pairwise_iou
from models.rescoring import CANDIDATE, RescoreNet, to_logits, views
from models.runtime import autocast
from models.weights_io import WEIGHTS
from training.detector_scenes import SURE
from training.loop import Run, ahead, plan
from training.runs import averaged
from training.scene_pool import load_pool
from training.scenes import Scene

PRESETS = {
    "cpu": {"samples": 1_200_000, "batch": 256, "lr": 2e-3},
    "gpu": {"samples": 12_000_000, "batch": 1024, "lr": 2e-3},
}
FACE, NONE = 0.45, 0.3  # IoU with a label from which on a candidate is a face, and below which it is none
SHARE = 0.25  # of faces among what is shown; a candidate in twenty is one
SHIFT, STRETCH = 0.04, 0.08  # how boxes vary, in shares of their height
AT_ONCE = 16

Views = NDArray[np.uint8]


def verdicts(scene: Scene, boxes: NDArray[np.float32]) -> NDArray[np.int8]:
    """For each candidate (N, 4): 1 a face, 0 none, -1 left out."""
    sure = scene.scores >= SURE
    overlap = pairwise_iou(boxes, scene.boxes)
    on_face = overlap[:, sure].max(1, initial=0)
    centres = boxes.reshape(-1, 2, 2).mean(1)[:, None]
    unsure = scene.boxes[~sure]
    doubtful = ((centres >= unsure[:, :2]) & (centres <= unsure[:, 2:])).all(2).any(1)
    found = np.where(on_face >= FACE, 1, np.where((on_face < NONE) & ~doubtful, 0, -1))
    return found.astype(np.int8)


def offered(detector: SmallFaceDetector, pool: list[Scene], seed: int) -> Iterator[tuple[Views, Views, NDArray[np.int8]]]:
    """Views, the detector's logits and verdicts of every picture's candidates."""
    rng = np.random.default_rng(seed)
    for first in track(range(0, len(pool), AT_ONCE), "candidates"):
        scenes = pool[first : first + AT_ONCE]
        for scene, faces in zip(scenes, detector.candidates([s.image for s in scenes]), strict=True):
            told = verdicts(scene, faces.boxes)
            boxes, logits, told = faces.boxes[told >= 0], to_logits(faces.scores[told >= 0]), told[told >= 0]
            height = (boxes[:, 3] - boxes[:, 1])[:, None]
            centre = boxes.reshape(-1, 2, 2).mean(1) + rng.normal(0, SHIFT, (len(boxes), 2)) * height
            half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.exp(rng.normal(0, STRETCH, (len(boxes), 1)))
            yield views(np.ascontiguousarray(scene.image), np.hstack([centre - half, centre + half])), logits, told


def make_pool(detector: SmallFaceDetector, folder: Path, out: Path, seed: int) -> tuple[Views, NDArray, NDArray]:
    """Views (N, 48, 48, 3), logits (N,) and verdicts (N,) of all candidates, from the run's folder if they are there."""
    path = out / "pool.npz"
    if not path.exists():
        parts = [np.concatenate(part) for part in zip(*offered(detector, load_pool(folder), seed), strict=True)]
        out.mkdir(parents=True, exist_ok=True)
        part = out / "pool.part.npz"
        np.savez(part, views=parts[0], logits=parts[1], verdicts=parts[2])
        part.rename(path)
    with np.load(path) as kept:
        return kept["views"], kept["logits"], kept["verdicts"]


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        scenes={"type": Path, "required": True, "help": "folder of training.scene_pool"},
        detector={"type": Path, "default": WEIGHTS / "detector.safetensors", "help": "the one whose candidates are judged"},
        start={"type": Path, "help": "begin with the weights of this run or file"},
    )
    args = job.args
    detector = SmallFaceDetector(args.detector, job.device, CANDIDATE, again=False)
    pictures, logits, told = make_pool(detector, args.scenes, args.out, args.seed)
    print(f"{len(told)} candidates, {told.mean():.0%} of them faces", flush=True)
    on_face, on_none = (np.flatnonzero(told == verdict) for verdict in (1, 0))
    net = RescoreNet()
    if args.start:
        net.load_state_dict(averaged(args.start, {"RescoreNet": RescoreNet}).state_dict())
    net = net.to(job.device, memory_format=torch.channels_last)
    made_of = (args.scenes / "command.txt").read_text().splitlines()
    lr = job.preset["lr"]
    run = Run(args.out, net, job.steps, job.batch, lr, 0.02, args.seed, muon=True, start=args.start, made_of=made_of)

    def make(step: int) -> tuple[torch.Tensor, ...]:
        rng = run.rng(step)
        rows = np.where(rng.random(job.batch) < SHARE, rng.choice(on_face, job.batch), rng.choice(on_none, job.batch))
        seen = pictures[rows] * rng.uniform(0.8, 1.2, (job.batch, 1, 1, 1)).astype(np.float32)
        mirrored = rng.random(job.batch) < 0.5
        seen[mirrored] = seen[mirrored, :, ::-1]
        return torch.from_numpy(seen), torch.from_numpy(logits[rows]), torch.from_numpy(told[rows].astype(np.float32))

    for seen, own, truth in ahead(make, run.step, job.steps):
        x = seen.to(job.device).permute(0, 3, 1, 2).sub(127.5).div(127.5).contiguous(memory_format=torch.channels_last)
        with autocast(job.device):
            found = net(x, own.to(job.device))
        run.update(F.binary_cross_entropy_with_logits(found.float(), truth.to(job.device)))


if __name__ == "__main__":
    main()
