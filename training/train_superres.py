"""Train the progressive super-resolution student.

    python -m training.train_superres --data DATA --out runs/superres            # 2 cores, about 7 min
    python -m training.train_superres --data DATA --out runs/superres --preset gpu

Loss: L1 at every step of the ladder, plus PFSR's facial attention loss (arXiv 1908.08239, La: L1 weighted by the
landmark heat map of the target) at 64 and 128 pixels, its heat map drawn from the 68 labelled landmarks.
Half the inputs are clean bicubic, half are `cctv-even` of a face between half the rung's size and all of it.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from models.superres import ENTRIES, SuperResNet
from training import degradations
from training.chips import load_chips
from training.loop import Run, ahead, plan

PRESETS = {
    "cpu": {"samples": 18_000, "batch": 16, "lr": 8e-4},
    "gpu": {"samples": 4_000_000, "batch": 128, "lr": 6e-4},
}
RUNG_SHARE = (0.45, 0.35, 0.2)
ATTENTION = 4.0
SOFT_LIMIT = 37.0  # above it a chip has no true detail at 128 pixels to learn from


def make_pair(chip: np.ndarray, rung: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Low-resolution input (rung, rung, 3) and its sharp target (128, 128, 3)."""
    chip = np.ascontiguousarray(chip)
    if rng.random() < 0.5:
        return degradations.bicubic(chip, rung, rng), chip
    side = int(rng.integers(rung * 5 // 8, rung + 1))
    small = degradations.cctv_even(chip, side, rng)
    return cv2.resize(small, (rung, rung), interpolation=cv2.INTER_LINEAR), chip


def attention(points: torch.Tensor, side: int) -> torch.Tensor:
    """Channel-wise maximum of Gaussians at landmarks (N, 68, 2) in 128-chip pixels: (N, 1, side, side) in 0..1."""
    grid = (torch.arange(side) + 0.5) * (128 / side)
    near_x = torch.exp(-((grid[None, None] - points[..., :1]) ** 2) / (2 * 4.0**2))
    near_y = torch.exp(-((grid[None, None] - points[..., 1:]) ** 2) / (2 * 4.0**2))
    found = (points.abs().sum((1, 2)) > 0).float()[:, None, None]
    return ((near_y[..., :, None] * near_x[..., None, :]).amax(1) * found)[:, None]


def main() -> None:
    job = plan(__doc__, PRESETS)
    args, steps, batch, device = job.args, job.steps, job.batch, job.device
    chips = load_chips(args.data, args.cache)
    points = torch.from_numpy(chips.landmarks68())
    train = np.flatnonzero(~chips.dev & (chips.soft_db <= SOFT_LIMIT))
    torch.manual_seed(args.seed)
    net = SuperResNet().to(device, memory_format=torch.channels_last)
    run = Run(args.out, net, steps, batch, job.preset["lr"], 0.0, args.seed)

    def make(step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rng = run.rng(step)
        rung = int(rng.choice(ENTRIES, p=RUNG_SHARE))
        rows = rng.choice(train, batch, replace=False)
        low, high = zip(*(make_pair(chips.images[row], rung, rng) for row in rows), strict=True)
        marks = points[torch.from_numpy(rows)].clone()
        low_t, high_t = torch.from_numpy(np.stack(low)), torch.from_numpy(np.stack(high))
        if rng.random() < 0.5:
            low_t, high_t = low_t.flip(2), high_t.flip(2)
            marks[..., 0] = torch.where(marks[..., 0] > 0, 128 - marks[..., 0], 0)
        return low_t, high_t, marks

    for low, high, marks in ahead(make, run.step, steps, threads=1 if device == "cpu" else 12):
        x = low.to(device).permute(0, 3, 1, 2).float().div_(255)
        y = high.to(device).permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast(device, torch.bfloat16):
            pictures = net(x)
        pixel = attended = torch.zeros((), device=device)
        for picture in pictures:
            side = picture.shape[-1]
            error = (picture.float() - (y if side == 128 else F.avg_pool2d(y, 128 // side))).abs()
            pixel = pixel + error.mean() * (1.0 if side == 128 else 0.25)
            if side >= 64:
                attended = attended + (attention(marks, side).to(device) * error).mean() * (1.0 if side == 128 else 0.25)
        run.update(pixel + ATTENTION * attended, l1=error.mean(), attended=attended)


if __name__ == "__main__":
    main()
