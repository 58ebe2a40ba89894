"""Train the low-resolution recogniser: it sees what a camera would leave of a face and must know it as its teachers know
the sharp picture. Needs DATA/chips (training/chips.py). On 2 cores, ten minutes and then about an hour:

    python -m training.morphs --data DATA --teacher edgeface_xs.safetensors --out .cache/morphs
    python -m training.train_recognizer --data DATA --morphs .cache/morphs --out runs/recognizer

With ``--morphs`` every other face is one drawn between two people. Without them the student learns the few thousand people of
the chips by heart: it came to a cosine of 0.53 to the teacher on sharp dev chips, and went on to 0.60 within 130,000 samples with
them. ``--start RUN`` goes on from another run's weights.

Always: the cosine to a strong teacher's vector of the sharp picture (EdgeFace-XS), and a contrast over the batch (the
student's vector must pick its own teacher vector among all of them), which keeps strangers apart where the cosine alone is
content with being near. On top of it, feature-similarity distillation (F-SKD, arXiv 2303.04681): first a network of the same
build that only ever sees sharp faces, then the student whose stages follow that one's:

    python -m training.train_recognizer --data DATA --out runs/recognizer-sharp --role teacher
    python -m training.train_recognizer --data DATA --out runs/recognizer --teacher runs/recognizer-sharp --margin cosface

Ablations and options: ``--features l2|none`` in place of the cosine, ``--hints`` and ``--relation`` (F-SKD of 2024; the contrast
then takes two pictures of one person for strangers), ``--no-embedding`` (no vectors of the strong teacher: labels and stages
alone), ``--look fskd-nearest`` or ``fskd-any-kernel`` (the paper's sizes and kernels in place of cameras), ``--network
iresnet18|iresnet50 [--cbam] [--pooled]`` (the paper's networks, for a GPU). The margin counts labelled chips only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from models.iresnet import IResNet
from models.recognizer import Recognizer, view
from training import degradations, margins
from training.chips import ChipSet, load_chips
from training.feature_similarity import KINDS, LAMBDA, RELATION, Hints, feature_distance, relation_distance
from training.loop import Run, ahead, averaged, plan

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"samples": 680_000, "batch": 128, "lr": 2e-3},
    "gpu": {"samples": 8_000_000, "batch": 512, "lr": 3e-3},
}
NETWORKS: dict[str, type[nn.Module]] = {"Recognizer": Recognizer, "IResNet": IResNet}
LOOKS = ("cctv", "fskd-nearest", "fskd-any-kernel")
FSKD_SIDES = (14, 28, 56, 112)
SMALLEST = 13
EMBEDDING, CONTRAST, CONTRAST_SCALE = 4.0, 0.5, 24.0
MARGIN = 0.2  # beside the strong teacher's vectors; without them the margin counts whole, as in the paper
MARGINS = {  # F-SKD: CosFace 0.25 (2023); of 2024 the others, smaller for the student
    "teacher": {"cosface": 0.25, "arcface": 0.5, "adaface": 0.4},
    "student": {"cosface": 0.25, "arcface": 0.2, "adaface": 0.2},
}

Image = NDArray[np.uint8]


def camera_look(chip: Image, progress: float, rng: np.random.Generator) -> tuple[Image, Image]:
    """A chip moved about as badly placed landmarks would, and what a camera leaves of it; sizes fall with ``progress``."""
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
    return chip, small


def paper_look(chip: Image, preset: str, rng: np.random.Generator) -> tuple[Image, Image]:
    """A chip and what F-SKD leaves of it: one of four sizes, there and back with the preset's kernels."""
    size = int(rng.choice(FSKD_SIDES)) * 128 // 112
    return chip, degradations.PRESETS[preset](degradations.PRESETS[preset](chip, size, rng), 128, rng)


def seen(small: Image, side: int) -> Image:
    """The recogniser's view of a square chip of any size: its centre 112/128 at (side, side, 3)."""
    size = small.shape[0]
    scale = side / size * 128 / 112
    if scale < 1:
        margin = round(size / 16)
        return cv2.resize(small[margin : size - margin, margin : size - margin], (side, side), interpolation=cv2.INTER_AREA)
    away = side / 2 - 0.5 - scale * (size / 2 - 0.5)
    move = np.array([[scale, 0, away], [0, scale, away]])
    return cv2.warpAffine(small, move, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def make_input(chip: Image, side: int, progress: float, rng: np.random.Generator, look: str = "cctv") -> tuple[Image, Image]:
    """One training example: the student's view (side, side, 3) uint8 and the sharp view of the same chip."""
    chip = np.ascontiguousarray(chip[:, ::-1] if rng.random() < 0.5 else chip)
    chip, small = camera_look(chip, progress, rng) if look == "cctv" else paper_look(chip, look, rng)
    return seen(small, side), seen(chip, side)


def labels_of(chips: ChipSet) -> torch.Tensor:
    """The number of each chip's identity (N,); -1 where nobody is named."""
    names, numbers = np.unique(chips.identity, return_inverse=True)
    numbers = np.where(chips.identity == "", -1, numbers - int(names[0] == ""))
    return torch.from_numpy(numbers)


def choose(train: NDArray[np.intp], numbers: NDArray[np.intp], batch: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of a batch whose second half are other pictures of the people in its first half."""
    people, sizes = np.unique(numbers[train], return_counts=True)
    twice = people[(people >= 0) & (sizes > 1)]
    first = rng.choice(train[np.isin(numbers[train], twice)], batch // 2, replace=False)
    second = [rng.choice(train[(numbers[train] == numbers[row]) & (train != row)]) for row in first]
    return np.concatenate([first, second])


def network(args: Any) -> tuple[nn.Module, dict[str, Any]]:
    """The network asked for and what it was made with."""
    if args.network == "small":
        return Recognizer(), {}
    arguments = {"depth": int(args.network.removeprefix("iresnet")), "cbam": args.cbam, "pooled": args.pooled}
    return IResNet(**arguments), arguments


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        role={"choices": ("student", "teacher"), "default": "student", "help": "a teacher sees sharp faces only"},
        teacher={"type": Path, "help": "run whose stages are followed"},
        features={"choices": KINDS, "default": "cosine", "help": "how stages are compared"},
        hints={"action": "store_true", "help": "1x1 layers between the student's stages and the teacher's"},
        relation={"action": "store_true", "help": "also compare relations between two pictures of one person"},
        margin={"choices": (*margins.KINDS, "none"), "default": "none", "help": "margin loss over labelled identities"},
        no_embedding={"action": "store_true", "help": "ablation: no vectors of the strong teacher"},
        look={"choices": LOOKS, "default": "cctv", "help": "what the student's pictures go through"},
        network={"choices": ("small", "iresnet18", "iresnet50"), "default": "small"},
        cbam={"action": "store_true"},
        pooled={"action": "store_true", "help": "mean of the last features as embedding"},
        morphs={"type": Path, "help": "folder of training.morphs"},
        start={"type": Path, "help": "run whose weights are the first ones"},
        optimizer={"choices": ("muon", "adamw"), "default": "muon"},
    )
    args, steps, batch, device = job.args, job.steps, job.batch, job.device
    if args.teacher is None and (args.hints or args.relation):
        raise SystemExit("--hints and --relation compare with a teacher: --teacher RUN is needed")
    if args.no_embedding and args.teacher is None and args.margin == "none":
        raise SystemExit("nothing to learn from: --no-embedding needs --teacher or --margin")
    if args.morphs and (args.no_embedding or args.relation):
        raise SystemExit("--morphs have no label, only the strong teacher's vector: not with --no-embedding or --relation")
    chips = load_chips(args.data, args.cache)
    targets = None if args.no_embedding else torch.from_numpy(chips.teacher_embeddings())
    labels = labels_of(chips)
    train, dev = np.flatnonzero(~chips.dev), np.flatnonzero(chips.dev)[:512]
    images, drawn = [chips.images], np.array([], np.intp)
    if args.morphs:
        images.append(np.load(args.morphs / "images.npy", mmap_mode="r"))
        drawn = len(labels) + np.arange(len(images[1]))
        targets = torch.cat([targets, torch.from_numpy(np.load(args.morphs / "vectors.npy"))])
        labels = F.pad(labels, (0, len(drawn)), value=-1)

    net, arguments = network(args)
    if args.start:
        net.load_state_dict(averaged(args.start, {type(net).__name__: type(net)}).state_dict())
    net = net.to(device, memory_format=torch.channels_last)
    teacher = averaged(args.teacher, NETWORKS).to(device, memory_format=torch.channels_last) if args.teacher else None
    beside = nn.ModuleDict()
    if args.margin != "none":
        beside["margin"] = margins.MarginHead(net.dim, int(labels.max()) + 1, args.margin, margin=MARGINS[args.role][args.margin])
    if args.hints:
        beside["hints"] = Hints(net.widths)
    if targets is not None:
        wide = targets.shape[1]
        beside["project"] = nn.Identity() if net.dim == wide else nn.Linear(net.dim, wide, bias=False)
    muon = args.optimizer == "muon"
    run = Run(args.out, net, steps, batch, job.preset["lr"], 0.05, args.seed, arguments, beside=beside.to(device), muon=muon)

    def face(row: int) -> Image:
        known = len(chips.images)
        return images[0][row] if row < known else images[1][row - known]

    def make(step: int) -> tuple[torch.Tensor, ...]:
        rng = run.rng(step)
        if args.relation:
            rows = choose(train, labels.numpy(), batch, rng)
        else:
            most = batch // 2 if len(drawn) else 0
            rows = np.concatenate([rng.choice(train, batch - most, replace=False), rng.choice(drawn, most, replace=False)])
        pairs = [make_input(face(row), net.side, step / steps, rng, args.look) for row in rows]
        small, sharp = (torch.from_numpy(np.stack(views)) for views in zip(*pairs, strict=True))
        return (sharp if args.role == "teacher" else small), sharp, torch.from_numpy(rows)

    for small, sharp, rows in ahead(make, run.step, steps, threads=1 if device == "cpu" else 12):
        x, y = (t.to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1) for t in (small, sharp))
        with torch.autocast(device, torch.bfloat16):
            embedding, stages = net.with_features(x)
        embedding = embedding.float()
        terms: dict[str, torch.Tensor] = {}
        if targets is not None:
            terms |= vector_terms(net, embedding, beside["project"], targets[rows].to(device))
        if teacher is not None:
            with torch.autocast(device, torch.bfloat16):
                with torch.no_grad():
                    told = teacher.with_features(y)[1]
                followed = beside["hints"](stages) if args.hints else stages
            if args.features != "none":
                terms["stages"] = LAMBDA * feature_distance(args.features, followed, told)
            if args.relation:
                halves = [t[-1].float().chunk(2) for t in (stages, told)]
                terms["relation"] = RELATION * relation_distance(*halves[0], *halves[1])
        label = labels[rows].to(device)
        if args.margin != "none" and bool((label >= 0).any()):
            terms["margin"] = (1.0 if targets is None else MARGIN) * beside["margin"](embedding[label >= 0], label[label >= 0])
        run.update(torch.stack(list(terms.values())).sum(), **terms)
        if targets is not None and (run.step % 1000 == 0 or run.step == steps):
            print("  dev:", dev_cosines(run.average.net, chips.images[dev], targets[dev], device), flush=True)


def vector_terms(net: nn.Module, embedding: torch.Tensor, project: nn.Module, target: torch.Tensor) -> dict[str, torch.Tensor]:
    """Cosine to the strong teacher's vectors, contrast over the batch, and how well the quality head foresees the cosine."""
    unit = F.normalize(project(embedding))
    cosine = (unit * target).sum(1)
    picked = F.cross_entropy(CONTRAST_SCALE * unit @ target.T, torch.arange(len(unit), device=unit.device))
    terms = {"embedding": EMBEDDING * (1 - cosine.mean()), "contrast": CONTRAST * picked}
    if isinstance(net, Recognizer):
        foreseen = net.quality(embedding.detach()).sigmoid()[:, 0]
        terms["quality"] = F.mse_loss(foreseen, cosine.detach().clamp(0, 1))
    return terms


@torch.no_grad()
def dev_cosines(net: torch.nn.Module, images: np.ndarray, target: torch.Tensor, device: str) -> dict[str, float]:
    """Mean cosine to the teacher on dev chips, sharp and as cameras of several sizes see them."""
    found = {}
    if not isinstance(net, Recognizer):
        return found
    for name, side in (("area", 128), ("cctv-fixed", 32), ("cctv-fixed", 20)):
        rng = np.random.default_rng(0)
        small = np.stack([degradations.PRESETS[name](np.ascontiguousarray(i), side, rng) for i in images])
        x = torch.from_numpy(small).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        unit = F.normalize(net(view(x, 64))[0].float()).cpu()
        found[f"{name} {side}"] = round(float((unit * target).sum(1).mean()), 4)
    return found


if __name__ == "__main__":
    main()
