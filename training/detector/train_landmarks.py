"""Train the network that refines the landmarks of a detected face (models/networks/landmarks.py).

    python -m training.detector.train_landmarks --data DATA --out runs/landmarks       # 2 cores, about 20 min

The inputs are chips with random rotation, scale and shift that simulate detector errors, degraded by a camera model. The targets
are five landmarks of the 68-point annotation, shifted by a constant to the convention of detectors (`CONVENTION`). A pool of
inputs is generated first and kept in the run's folder; each input is used several times.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.chip import CHIP, TEMPLATE
from models.networks.landmarks import OUTPUT_UNIT, LandmarkNet, landmark_view, to_units
from models.runtime.devices import autocast
from training.common import degradations
from training.common.plan import plan
from training.common.video_codec import film_chips
from training.data.chips import load_chips
from training.data.priors import five_of

PRESETS = {
    "cpu": {"samples": 800_000, "batch": 256, "lr": 2e-3, "pool": 160_000},
    "gpu": {"samples": 10_000_000, "batch": 1024, "lr": 2e-3, "pool": 1_000_000},
}
AT_ONCE = 100
SMALLEST, SHARP = 9, 0.1
# Standard deviations of a detector's errors: degrees, share of the scale, share of the chip's side; and the largest shift.
TURN, SCALE, SHIFT, FURTHEST = 7.0, 0.09, 0.04, 0.1

CONVENTION = np.array([(-1.0, 1.1), (0.7, 1.3), (-0.2, 2.8), (-0.9, -1.5), (0.4, -1.4)], np.float32)
"""Offset in chip pixels from the template to SCRFD's landmarks: the mean over 250 enlarged dev chips; the deviation is 3 % of the
eye distance. Detectors trained on WIDER agree with it. A constant offset does not change alignment."""

_chips: NDArray[np.uint8]
_points: NDArray[np.float32]


def misplaced(chip: NDArray[np.uint8], points: NDArray[np.float32], rng: np.random.Generator):  # type: ignore[no-untyped-def]
    """Rotate, scale and shift a chip uint8 (128, 128, 3) and its landmarks (5, 2) by random detection errors."""
    centre = (CHIP - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), rng.normal(0, TURN), float(np.exp(rng.normal(0, SCALE))))
    matrix[:, 2] += np.clip(rng.normal(0, SHIFT, 2), -FURTHEST, FURTHEST) * CHIP
    moved = cv2.warpAffine(chip, matrix, (CHIP, CHIP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return moved, points @ matrix[:, :2].T + matrix[:, 2]


def _make(job: tuple[NDArray[np.intp], int]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    rows, seed = job
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    moved, points = zip(*(misplaced(np.ascontiguousarray(_chips[row]), _points[row], rng) for row in rows), strict=True)
    sizes = [CHIP if rng.random() < SHARP else int(np.exp(rng.uniform(np.log(SMALLEST), np.log(100)))) for _ in rows]
    filming = rng.random() < 0.4  # the whole batch is degraded as a clip, or as photos
    if filming:
        small = film_chips(moved, [min(s, 100) for s in sizes], rng)
    else:
        small = [
            (degradations.cctv if rng.random() < 0.7 else degradations.area)(m, s, rng) for m, s in zip(moved, sizes, strict=True)
        ]
    return np.stack([landmark_view(s) for s in small]), np.stack([to_units(p) for p in points])


def make_pool(args, count: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:  # type: ignore[no-untyped-def]
    """Inputs (count, 48, 48, 3) and targets (count, 5, 2) in output units; cached in the run's folder."""
    path = args.out / "pool.npz"
    if not path.exists():
        global _chips, _points
        chips = load_chips(args.data, args.cache)
        points = chips.landmarks68()
        rows = np.flatnonzero(chips.train & points.any((1, 2)))
        _chips, _points = chips.images, five_of(points)
        _points += TEMPLATE - _points[rows].mean(0)
        rng = np.random.default_rng(args.seed)
        jobs = [(rng.choice(rows, AT_ONCE), int(seed)) for seed in rng.integers(0, 1 << 40, -(-count // AT_ONCE))]
        with ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as workers:
            made = list(workers.map(_make, jobs, chunksize=4))
        args.out.mkdir(parents=True, exist_ok=True)
        part = args.out / "pool.part.npz"
        np.savez(part, views=np.concatenate([v for v, _ in made])[:count], points=np.concatenate([p for _, p in made])[:count])
        part.rename(path)
    with np.load(path) as kept:
        return kept["views"], kept["points"] + CONVENTION / OUTPUT_UNIT


def main() -> None:
    job = plan(__doc__, PRESETS)
    views, points = make_pool(job.args, job.preset["pool"])
    print(f"{len(views)} pictures", flush=True)
    net = LandmarkNet().to(job.device, memory_format=torch.channels_last)
    run = job.run(net, 0.02, muon=True)

    def make(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = run.rng(step)
        rows = rng.integers(0, len(views), job.batch)
        levels = rng.uniform(0.8, 1.2, (job.batch, 1, 1, 1)).astype(np.float32)
        return torch.from_numpy(views[rows] * levels), torch.from_numpy(points[rows])

    for pictures, truth in run.batches(make, threads=8):
        x = pictures.to(job.device).permute(0, 3, 1, 2).sub(127.5).div(127.5).contiguous(memory_format=torch.channels_last)
        with autocast(job.device):
            predicted = net(x)
        loss = F.l1_loss(predicted.float(), truth.to(job.device))
        run.update(loss)


if __name__ == "__main__":
    main()
