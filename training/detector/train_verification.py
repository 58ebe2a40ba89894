"""Train the verification network, which rescores the detector's candidates (models/networks/verification.py).

    python -m training.detector.train_verification --data DATA --scenes .cache/scenes --out runs/rescore

The candidates are the detector's detections in the scenes of `training.detector.scene_pool`. A candidate with an IoU of at least
`FACE` with a labelled face is positive; one with an IoU below `NONE` with every label is negative; all others, and those on
doubtful
labels, are excluded. Candidates in which ``--witness``, a second detector such as YuNet, finds a face are excluded as well: the
teacher's labels lack profiles and cropped faces, and a network trained with them as negatives would miss such faces. A pool of
candidates is generated first and kept in the run's folder.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from models import load_detector
from models.detection import SmallFaceDetector
from models.faces import Faces, pairwise_iou
from models.networks.verification import VerificationNet, candidate_views, octaves, to_logits
from models.runtime.devices import autocast
from models.runtime.image_pyramid import ImagePyramid
from models.weights_io import WEIGHTS
from training.common.plan import plan
from training.common.runs import load_averaged, provenance_of
from training.data.scenes import SURE, Scene
from training.detector.scene_pool import WITNESSED, load_pool
from training.detector.train import steady

PRESETS = {
    "cpu": {"samples": 1_200_000, "batch": 256, "lr": 2e-3},
    "gpu": {"samples": 12_000_000, "batch": 1024, "lr": 4e-3},
}
FACE, NONE = 0.45, 0.3  # IoU with a label from which a candidate is positive, and below which it is negative
SHARE = 0.25  # share of positives in a batch
SHIFT, STRETCH = 0.04, 0.08  # standard deviations of the boxes' augmentation, in shares of their height
NEGATIVES = 12  # largest number of negatives of a scene
OFFERED = 0.1  # smallest detection score of a candidate
LEVELS, NOISE = (0.5, 1.2), (-8.0, 8.0)  # exposure factor; noise sigma in grey levels, negative: none (half of the views)
AT_ONCE = 16


def verdicts(scene: Scene, boxes: NDArray[np.float32], doubtful: NDArray[np.float32] | None = None) -> NDArray[np.int8]:
    """Label candidates.

    Args:
        scene: the labelled picture.
        boxes: float32 (N, 4), the candidates.
        doubtful: float32 (M, 4), boxes of a second detector; candidates whose centre is in one are excluded. None: no boxes.

    Returns:
        int8 (N,): 1 positive, 0 negative, -1 excluded.
    """
    sure = scene.scores >= SURE
    overlap = pairwise_iou(boxes, scene.boxes)
    on_face = overlap[:, sure].max(1, initial=0)
    centres = boxes.reshape(-1, 2, 2).mean(1)[:, None]
    unsure = scene.boxes[~sure] if doubtful is None else np.concatenate([scene.boxes[~sure], doubtful])
    on_unsure = ((centres >= unsure[:, :2]) & (centres <= unsure[:, 2:])).all(2).any(1)
    return np.where(on_face >= FACE, 1, np.where((on_face < NONE) & ~on_unsure, 0, -1)).astype(np.int8)


def chosen(
    scene: Scene, faces: Faces, doubtful: NDArray[np.float32] | None, rng: np.random.Generator
) -> tuple[NDArray, NDArray, NDArray, NDArray[np.int8]]:
    """Choose the training candidates of a picture: all positives and up to `NEGATIVES` negatives.

    Returns:
        Augmented boxes (K, 4), detection logits (K,), octaves (K,) and labels int8 (K,).
    """
    labels = verdicts(scene, faces.boxes, doubtful)
    negatives = np.flatnonzero(labels == 0)
    rows = np.concatenate([np.flatnonzero(labels == 1), rng.permutation(negatives)[:NEGATIVES]])
    boxes = faces.boxes[rows]
    height = (boxes[:, 3] - boxes[:, 1])[:, None]
    centre = boxes.reshape(-1, 2, 2).mean(1) + rng.normal(0, SHIFT, (len(boxes), 2)) * height
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.exp(rng.normal(0, STRETCH, (len(boxes), 1)))
    return np.hstack([centre - half, centre + half]), to_logits(faces.scores[rows]), octaves(boxes), labels[rows]


@dataclass
class _Looker:
    """Detect and label the candidates of scenes; each worker process has one instance."""

    args: argparse.Namespace
    device: str
    side: int

    def __post_init__(self) -> None:
        if self.device == "cpu" and self.args.processes:
            torch.set_num_threads(1)
        cv2.setNumThreads(1)
        self.detector = SmallFaceDetector(self.args.detector, self.device, OFFERED, verify=False)
        self.witness = load_detector(self.args.witness, self.device, WITNESSED) if self.args.witness else None
        self.scenes = load_pool(self.args.scenes)[: self.args.number]

    def look(self, first: int) -> list[tuple[NDArray, ...]]:
        """Views, logits, octaves and labels of the candidates of each of `AT_ONCE` scenes, from scene ``first`` on."""
        several, made = self.scenes[first : first + AT_ONCE], []
        for number, faces in enumerate(self.detector.candidates([s.image for s in several], OFFERED)):
            scene = several[number]
            doubtful = self.witness.detect([scene.image])[0].boxes if self.witness else None
            boxes, *rest = chosen(scene, faces, doubtful, np.random.default_rng((self.args.seed, first + number)))
            made.append((candidate_views(ImagePyramid(np.ascontiguousarray(scene.image)), boxes, self.side), *rest))
        return made


_looker: _Looker


def _open(*of: object) -> None:
    global _looker
    _looker = _Looker(*of)  # type: ignore[arg-type]


def _look(first: int) -> list[tuple[NDArray, ...]]:
    return _looker.look(first)


def make_pool(args: argparse.Namespace, device: str, side: int) -> tuple[NDArray[np.uint8], NDArray, NDArray[np.int8]]:
    """Views uint8 (N, side, side, 3), logits and octaves (2, N), and labels int8 (N,); cached in the run's folder."""
    path = args.out / "pool.npz"
    if not path.exists():
        args.out.mkdir(parents=True, exist_ok=True)
        firsts, made = range(0, min(args.number, len(load_pool(args.scenes))), AT_ONCE), []
        with contextlib.ExitStack() as open_until_done:
            file = open_until_done.enter_context((args.out / "views.raw").open("wb"))
            if args.processes:
                spawn, given = multiprocessing.get_context("spawn"), (args, "cpu", side)
                workers = open_until_done.enter_context(ProcessPoolExecutor(args.processes, spawn, _open, given))
                looked = workers.map(_look, firsts)
            else:
                looked = map(_Looker(args, device, side).look, firsts)
            for seen, *rest in itertools.chain.from_iterable(track(looked, "candidates", total=len(firsts))):
                file.write(seen.tobytes())
                made.append(rest)
        *own, judged = (np.concatenate(part) for part in zip(*made, strict=True))
        part = path.with_suffix(".part.npz")
        np.savez(part, own=own, verdicts=judged)
        part.rename(path)
    with np.load(path) as kept:
        inputs, labels = kept["own"], kept["verdicts"]
    return np.memmap(args.out / "views.raw", np.uint8, "c", shape=(len(labels), side, side, 3)), inputs, labels


def varied(seen: Tensor, rng: np.random.Generator) -> Tensor:
    """Augment views uint8 (N, side, side, 3): exposure, noise, mirror. Returns the network's input (N, 3, side, side)."""
    count = len(seen)
    levels, noise = (torch.from_numpy(rng.uniform(*of, (count, 1, 1, 1)).astype(np.float32)) for of in (LEVELS, NOISE))
    mirrored = torch.from_numpy(rng.random((count, 1, 1, 1)) < 0.5).to(seen.device)
    generator = torch.Generator(seen.device).manual_seed(int(rng.integers(1 << 62)))
    x = seen.permute(0, 3, 1, 2).float() * levels.to(seen.device)
    x = x + torch.randn(x.shape, generator=generator, device=x.device) * noise.clamp(min=0).to(x.device)
    x = torch.where(mirrored, x.flip(3), x)
    return ((x - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        scenes={"type": Path, "required": True, "help": "folder of training.detector.scene_pool"},
        detector={"type": Path, "default": WEIGHTS / "detector.safetensors", "help": "detector of the candidates"},
        witness={"type": Path, "help": "second detector; candidates that only it takes for a face are left out"},
        number={"type": int, "default": 20_000, "help": "number of scenes that candidates are taken from"},
        processes={"type": int, "default": 0, "help": "processes that make the pool on the CPU; 0: this process"},
        steady={"action": "store_true", "help": "freeze the batch norms' statistics, which is faster; for --start"},
        start={"type": Path, "help": "begin with the weights of this run or file"},
    )
    args = job.args
    arguments = provenance_of(args.start).architecture if args.start else {}
    net = VerificationNet(**arguments)
    pictures, inputs, labels = make_pool(args, job.device, net.side)
    print(f"{len(labels)} candidates, {labels.mean():.0%} of them faces", flush=True)
    positives, negatives = (np.flatnonzero(labels == label) for label in (1, 0))
    if args.start:
        net.load_state_dict(load_averaged(args.start, {"VerificationNet": VerificationNet}).state_dict())
    net = net.to(job.device, memory_format=torch.channels_last)
    if args.steady:
        steady(net)
    data_commands = (args.scenes / "command.txt").read_text().splitlines()
    shown = torch.from_numpy(pictures)
    if job.device != "cpu":
        shown = torch.cat([part.to(job.device) for part in shown.split(10_000)])
    inputs, labels = (torch.from_numpy(v.astype(np.float32)).to(job.device) for v in (inputs, labels))
    run = job.run(net, 0.02, arguments, muon=True, data_commands=data_commands)
    while not run.done:
        rng = run.rng(run.step)
        chosen_rows = np.where(rng.random(job.batch) < SHARE, rng.choice(positives, job.batch), rng.choice(negatives, job.batch))
        rows = torch.from_numpy(chosen_rows).to(job.device)
        x = varied(shown[rows], rng)
        with autocast(job.device):
            logits = net(x, *inputs[:, rows])
        run.update(F.binary_cross_entropy_with_logits(logits.float(), labels[rows]))


if __name__ == "__main__":
    main()
