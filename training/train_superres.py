"""Train the progressive super-resolution student that ships. On 2 cores, one after the other:

    python -m training.train_superres --data DATA --out runs/superres-plain --no-identity                     # 80 min
    python -m training.train_superres --data DATA --out runs/superres --start runs/superres-plain \\
        --samples 8000 --lr 4e-4                                                                              #  8 min

and to distil from a teacher who sees the sharp face's parsing map, in place of the second:

    python -m training.train_superres --data DATA --out runs/superres-teacher --role teacher \\
        --start runs/superres-plain --samples 8000 --lr 3e-4
    python -m training.train_superres --data DATA --out runs/superres --start runs/superres-plain \\
        --teacher runs/superres-teacher --samples 42000 --lr 4e-4

The optimiser is Muon: from scratch, after 8,000 samples, it was 0.30, 0.37 and 0.58 dB ahead of AdamW at x8, x4 and x2 (learning
rates 1.5e-3 and 1.2e-3, dev chips). With a GPU the same with ``--preset gpu``. The loss joins both super-resolution papers:

- L1 at every step of the ladder and PFSR's facial attention loss (arXiv 1908.08239, La: L1 weighted by the landmark
  heat map of the target) at 64 and 128 pixels;
- with ``--teacher``, PKDN's distillation (arXiv 2409.14385): the student's features at 16, 32 and 64 pixels follow
  those of the teacher, who sees the parsing map of the sharp face, and its picture follows the teacher's; the features'
  part fades to nothing over the first half, and then the teacher is not asked any more, as in KDFSRNet;
- identity: 1 - cosine between the recogniser's vectors of the result and of the sharp chip.

Inputs are clean bicubic, `cctv-even` or cut from H.264 (``--look cctv`` for machines without PyAV: none of that), of a face of
any size the pipeline cuts at the rung, moved about as badly placed landmarks would. The teacher learns without identity. There
is no adversarial term: it would invent people (`training.train_pfsr` has it).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from models.chip import HOLDS
from models.recognizer import Recognizer, view
from models.runtime import autocast
from models.superres import ENTRIES, SuperResNet
from models.weights_io import WEIGHTS
from training import degradations
from training.chips import load_chips
from training.distillation import KINDS, Distillation
from training.loop import Run, plan
from training.priors import REGIONS, attention_map, mirror, parsing_maps
from training.runs import averaged

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"samples": 110_000, "batch": 16, "lr": 1.5e-3},
    "gpu": {"samples": 4_000_000, "batch": 128, "lr": 1.5e-3},
}
SHARES = {16: 0.5, 32: 0.25, 64: 0.25}  # of every batch: rungs in turn made the training unstable
CLEAN_SHARE, FILMED_SHARE = 0.6, 0.15
STEP_WEIGHT = {32: 0.25, 64: 0.25, 128: 1.0}
ATTENTION = 2.0
FEATURES = 0.2  # at KDFSRNet's 10 their gradient was 30 times the picture's
IDENTITY = 0.06
SHIFT = 2  # pixels

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def varied(
    chip: NDArray[np.uint8], points: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The same face in other light and some whole pixels aside, as sharp as it was: less to learn by heart."""
    chip = degradations.relit(np.ascontiguousarray(chip), rng)
    shift = rng.integers(-SHIFT, SHIFT + 1, 2)
    padded = cv2.copyMakeBorder(chip, *[SHIFT] * 4, cv2.BORDER_REPLICATE)
    y, x = SHIFT - shift[::-1]
    moved = np.ascontiguousarray(padded[y : y + len(chip), x : x + len(chip)])
    return moved, points + shift.astype(np.float32) * points.any()


def misplaced(
    chip: NDArray[np.uint8], points: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A chip and its landmarks (68, 2) as the landmarks of a tiny face would have cut it."""
    matrix = degradations.jitter_matrix(rng.uniform(0, 1.5), rng)
    chip = cv2.warpAffine(chip, matrix, chip.shape[:2], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
    if points.any():
        points = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return chip, points


def side_at(rung: int, rng: np.random.Generator) -> int:
    """A side that the pipeline cuts at this rung, none below 10 pixels."""
    return int(rng.integers(int(HOLDS.get(rung // 2, 9)) + 1, int(HOLDS[rung]) + 1))


def make_pair(chip: NDArray[np.uint8], points: NDArray[np.float32], rung: int, rng: np.random.Generator) -> Pair:
    """Low-resolution input (rung, rung, 3), its sharp target (128, 128, 3) and the target's landmarks (68, 2)."""
    chip, points = varied(chip, points, rng)
    if rng.random() < CLEAN_SHARE:
        return degradations.bicubic(chip, rung, rng), chip, points
    chip, points = misplaced(chip, points, rng)
    small = degradations.cctv_even(chip, side_at(rung, rng), rng)
    return cv2.resize(small, (rung, rung), interpolation=cv2.INTER_CUBIC).astype(np.uint8), chip, points


def filmed_pairs(chips: NDArray[np.uint8], points: NDArray[np.float32], rung: int, rng: np.random.Generator) -> list[Pair]:
    """The same of several chips (N, 128, 128, 3), whose inputs went through one H.264 clip."""
    from training.video_codec import filmed  # needs PyAV, which a machine that only trains may lack

    moved = [misplaced(*varied(chip, marks, rng), rng) for chip, marks in zip(chips, points, strict=True)]
    low = filmed([chip for chip, _ in moved], [side_at(rung, rng) for _ in moved], rng)
    return [(small, *target) for small, target in zip(low, moved, strict=True)]


def frozen_recognizer(source: Path, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A recogniser as a function of chips (N, 3, 128, 128) in 0..1, through which gradients flow."""
    net = averaged(source, {"Recognizer": Recognizer}).to(device, memory_format=torch.channels_last)

    def embed(chips: torch.Tensor) -> torch.Tensor:
        with autocast(device):
            embedding: torch.Tensor = net(view(chips * 2 - 1, net.side))[0]
        return embedding.float()

    return embed


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        role={"choices": ("student", "teacher"), "default": "student"},
        start={"type": Path, "help": "begin with the weights of this run or file"},
        teacher={"type": Path, "help": "distil this teacher, a run"},
        features={"choices": KINDS, "default": "l1", "help": "how features are distilled"},
        look={"choices": ("video", "cctv"), "default": "video", "help": "what the inputs that are not clean go through"},
        no_attention={"action": "store_true", "help": "ablation: leave the facial attention loss out"},
        no_identity={"action": "store_true", "help": "ablation: leave the identity term out"},
        recognizer={"type": Path, "default": WEIGHTS / "recognizer.safetensors", "help": "run or weights of the identity term"},
    )
    args, device = job.args, job.device
    chips = load_chips(args.data, args.cache)
    points = chips.landmarks68()
    train = chips.detailed(dev=False)
    arguments = {"regions": len(REGIONS)} if args.role == "teacher" else {}
    net = SuperResNet(**arguments)
    if args.start:
        keys = net.load_state_dict(averaged(args.start, {"SuperResNet": SuperResNet}).state_dict(), strict=False)
        if keys.unexpected_keys:
            raise SystemExit(f"--start {args.start}: a teacher, and a student has no place for what it learned of priors")
    net = net.to(device, memory_format=torch.channels_last)
    distil = None
    if args.teacher:
        teacher = averaged(args.teacher, {"SuperResNet": SuperResNet}).to(device, memory_format=torch.channels_last)
        distil = Distillation(teacher, args.features, FEATURES)
    identity = None if args.no_identity or args.role == "teacher" else frozen_recognizer(args.recognizer, device)
    run = Run(
        args.out,
        net,
        job.steps,
        job.batch,
        job.preset["lr"],
        0.0,
        args.seed,
        arguments,
        betas=(0.9, 0.99),
        clip=0.1,
        muon=True,
        start=args.start,
        minutes=args.minutes,
    )

    def make_rung(rung: int, rng: np.random.Generator) -> tuple[torch.Tensor, ...]:
        rows = rng.choice(train, int(job.batch * SHARES[rung]), replace=False)
        film = int(rng.binomial(len(rows), FILMED_SHARE)) if args.look == "video" else 0
        pairs = [make_pair(chips.images[row], points[row], rung, rng) for row in rows[film:]]
        pairs += filmed_pairs(chips.images[rows[:film]], points[rows[:film]], rung, rng) if film else []
        low, high, marks = zip(*pairs, strict=True)
        parsing = parsing_maps(np.stack(marks)) if args.role == "teacher" or distil else torch.zeros(0)
        batch = (torch.from_numpy(np.stack(low)), torch.from_numpy(np.stack(high)), torch.from_numpy(np.stack(marks)), parsing)
        return batch if rng.random() < 0.5 else mirror(*batch)

    def losses(low: torch.Tensor, high: torch.Tensor, marks: torch.Tensor, parsing: torch.Tensor) -> dict[str, torch.Tensor]:
        """The terms of the loss for chips of one rung, by name."""
        x = low.to(device).permute(0, 3, 1, 2).float().div_(255)
        y = high.to(device).permute(0, 3, 1, 2).float().div_(255)
        prior = parsing.to(device).float().div_(255) if len(parsing) else None
        with autocast(device):
            pictures, seen = net.with_features(x, prior if args.role == "teacher" else None)
        terms = {name: torch.zeros((), device=device) for name in ("pixel", "attention")}
        for picture in pictures:
            side = picture.shape[-1]
            error = (picture.float() - (y if side == 128 else F.avg_pool2d(y, 128 // side))).abs()
            terms["pixel"] = terms["pixel"] + error.mean() * STEP_WEIGHT[side]
            if side >= 64 and not args.no_attention:
                attended = (attention_map(marks.to(device), side) * error).mean() * STEP_WEIGHT[side]
                terms["attention"] = terms["attention"] + ATTENTION * attended
        if distil:
            terms |= distil(run.progress, x, prior, pictures[-1], seen)
        if identity is not None:
            similar = F.cosine_similarity(identity(pictures[-1].float()), identity(y))
            terms["identity"] = IDENTITY * (1 - similar).mean()
        return terms

    def make(step: int) -> list[tuple[torch.Tensor, ...]]:
        rng = run.rng(step)
        return [make_rung(rung, rng) for rung in ENTRIES]

    for batches in run.batches(make, threads=12):
        terms: dict[str, torch.Tensor] = {}
        for rung, batch in zip(ENTRIES, batches, strict=True):
            for name, term in losses(*batch).items():
                terms[name] = terms.get(name, 0.0) + SHARES[rung] * term
        run.update(torch.stack(list(terms.values())).sum(), **terms)


if __name__ == "__main__":
    main()
