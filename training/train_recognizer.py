"""Train the low-resolution recogniser by embedding distillation.

    python -m training.train_recognizer --data DATA --out runs/recognizer            # 2 cores, about 45 min
    python -m training.train_recognizer --data DATA --out runs/recognizer --preset gpu

The student sees what a camera would leave of a face; it must give the vector that a strong teacher
(EdgeFace-XS) gives for the sharp picture. Two terms: the cosine to the teacher's vector, and a
contrast over the batch (the student's vector must pick its own teacher vector among all of them), which
keeps strangers apart where the cosine alone is content with being near. Needs DATA/chips (training/chips.py).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from models.recognizer import Recognizer, view
from training import degradations
from training.chips import load_chips
from training.loop import Run, ahead, plan

PRESETS = {
    "cpu": {"samples": 680_000, "batch": 128, "lr": 2e-3},
    "gpu": {"samples": 8_000_000, "batch": 512, "lr": 3e-3},
}
SMALLEST = 13
CONTRAST_SCALE = 24.0


def make_input(chip: np.ndarray, side: int, progress: float, rng: np.random.Generator) -> np.ndarray:
    """One training input: (side, side, 3) uint8, what is left of a 128 chip seen small by a camera."""
    if rng.random() < 0.5:
        chip = np.ascontiguousarray(chip[:, ::-1])
    # Easy first: the smallest face falls from 48 to 13 pixels over the first third.
    least = SMALLEST + max(0.0, 1 - 3 * progress) * (48 - SMALLEST)
    size = 128 if rng.random() < 0.2 else int(np.exp(rng.uniform(np.log(least), np.log(100))))
    chip = degradations.jitter(chip, float(np.clip(24 / size, 0.3, 1.3)), rng)
    kind = rng.random()
    if kind < 0.6:
        small = degradations.cctv(chip, size, rng)
    elif kind < 0.85:
        small = degradations.area(chip, size, rng)
    else:
        small = degradations.bicubic(chip, size, rng)
    if rng.random() < 0.1:
        small = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    scale = side / size * 128 / 112
    move = np.array(
        [[scale, 0, side / 2 - 0.5 - scale * (size / 2 - 0.5)], [0, scale, side / 2 - 0.5 - scale * (size / 2 - 0.5)]]
    )
    if scale < 1:
        margin = round(size / 16)
        return cv2.resize(small[margin : size - margin, margin : size - margin], (side, side), interpolation=cv2.INTER_AREA)
    return cv2.warpAffine(small, move, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def main() -> None:
    job = plan(__doc__, PRESETS)
    args, steps, batch, device = job.args, job.steps, job.batch, job.device
    chips = load_chips(args.data, args.cache)
    targets = torch.from_numpy(chips.teacher_embeddings())
    train = np.flatnonzero(~chips.dev)
    dev = np.flatnonzero(chips.dev)[:512]

    torch.manual_seed(args.seed)
    net = Recognizer().to(device, memory_format=torch.channels_last)
    run = Run(args.out, net, steps, batch, job.preset["lr"], 0.05, args.seed)

    def make(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = run.rng(step)
        rows = rng.choice(train, batch, replace=False)
        images = np.stack([make_input(chips.images[row], net.side, step / steps, rng) for row in rows])
        return torch.from_numpy(images), targets[torch.from_numpy(rows)]

    for images, target in ahead(make, run.step, steps, threads=1 if device == "cpu" else 12):
        x = images.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        target = target.to(device)
        with torch.autocast(device, torch.bfloat16):
            embedding, quality = net(x)
        unit = F.normalize(embedding.float())
        cosine = (unit * target).sum(1)
        contrast = F.cross_entropy(CONTRAST_SCALE * unit @ target.T, torch.arange(batch, device=device))
        predicted = F.mse_loss(quality.float(), cosine.detach().clamp(0, 1))
        run.update(
            4 * (1 - cosine.mean()) + 0.5 * contrast + predicted, cosine=cosine.mean(), contrast=contrast, quality=predicted
        )
        if run.step % 1000 == 0 or run.step == steps:
            print("  dev:", dev_cosines(run.average.net, chips.images[dev], targets[dev], device), flush=True)


@torch.no_grad()
def dev_cosines(net: torch.nn.Module, images: np.ndarray, target: torch.Tensor, device: str) -> dict[str, float]:
    """Mean cosine to the teacher on dev chips, sharp and as cameras of several sizes see them."""
    found = {}
    for name, side in (("area", 128), ("cctv-fixed", 32), ("cctv-fixed", 20)):
        rng = np.random.default_rng(0)
        small = np.stack([degradations.PRESETS[name](np.ascontiguousarray(i), side, rng) for i in images])
        x = torch.from_numpy(small).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        unit = F.normalize(net(view(x, 64))[0].float()).cpu()
        found[f"{name} {side}"] = round(float((unit * target).sum(1).mean()), 4)
    return found


if __name__ == "__main__":
    main()
