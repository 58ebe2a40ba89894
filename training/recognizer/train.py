"""Train the low-resolution recogniser: its embedding of a degraded face must match its teachers' embedding of the sharp face.

Needs DATA/chips (training/data/chips.py). On 2 cores, ten minutes and then about an hour:

    python -m training.data.morphs --data DATA --teacher edgeface_xs.safetensors --out .cache/morphs
    python -m training.recognizer.train --data DATA --morphs .cache/morphs --restored --out runs/recognizer

With ``--morphs`` two of three faces are synthetic identities. Without them the student overfits to the few thousand people of
the chips: the cosine to the teacher on sharp dev chips stopped at 0.53, and rose to 0.60 within 130,000 samples with them.
``--restored`` super-resolves some small faces with the shipped network. ``--start RUN`` starts from another run's weights,
without the easy-to-hard schedule; ``--depths`` may then make the network deeper. ``--look cctv`` uses JPEG in place of H.264
and needs no PyAV.

The loss always has the cosine to a strong teacher's embedding of the sharp face (EdgeFace-XS) and a contrastive term over the
batch (each embedding must pick its own teacher embedding), which separates identities. Feature-similarity distillation (F-SKD,
arXiv 2303.04681) can be added: first train a network of the same architecture on sharp faces, then a student whose stages
follow it:

    python -m training.recognizer.train --data DATA --out runs/recognizer-sharp --role teacher
    python -m training.recognizer.train --data DATA --out runs/recognizer --teacher runs/recognizer-sharp --margin cosface

Ablations and options: ``--features l2|none`` in place of the cosine; ``--weight`` of the stages (20 in the paper; 120 was better
together with embedding distillation: docs/results.md); ``--hints`` and ``--relation`` (F-SKD of 2024); ``--no-embedding`` (labels
and stages only); ``--look fskd-nearest`` or ``fskd-any-kernel`` (the paper's sizes and kernels); ``--network iresnet18|iresnet50
[--cbam] [--pooled]`` (the paper's networks, for a GPU). The margin loss uses labelled chips only.

Networks of your own: ``--embedding-teacher FILE`` distils any ArcFace-style ONNX recogniser. ``--network package.module:Class``
trains your torch module, from the weights its constructor sets. It needs the interface of
`models.networks.recognizer.Recognizer`: ``side`` of its input, ``dim``, ``widths`` of its stages, and ``with_features(x)`` ->
embedding (N, dim) and the stages' maps.

Differences to the papers: Muon or AdamW with warm-up and a cosine schedule (papers: SGD at 0.1, divided by ten in steps,
batches of 256). With ``fskd-*`` every batch mixes the four sizes (papers: also one network a size). Margins have one scale of
30 (2024: 32 and 64). A partner of ``--relation`` is any other picture of the person (2024: one that is not too similar to the
teacher). Logits are not distilled. Evaluation averages the embeddings of a picture and its mirror image (papers: concatenation,
centred on other folds).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from models import load_superres
from models.networks.iresnet import init_from_shallower
from models.networks.recognizer import Recognizer, crop_view
from models.runtime.devices import autocast
from training.common import degradations
from training.common.plan import plan
from training.common.runs import load_averaged
from training.data.chips import ChipSet, load_chips
from training.recognizer import margins
from training.recognizer.choose_network import NETWORKS, build_network
from training.recognizer.feature_similarity import KINDS, LAMBDA, RELATION, Hints, feature_distance, relation_distance
from training.recognizer.inputs import LOOKS, Inputs, make_inputs
from training.recognizer.vector_distillation import embedding_loss, quality_loss

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"samples": 680_000, "batch": 128, "lr": 2e-3},
    "gpu": {"samples": 8_000_000, "batch": 512, "lr": 3e-3},
}
SUPERRES_SHARE, MORPH_SHARE = 0.1, 0.65  # shares of faces: super-resolved; synthetic identities
MARGIN_WEIGHT = 0.2  # together with embedding distillation; alone the margin loss has weight 1, as in the paper
MARGINS = {  # CosFace: F-SKD of 2023; the others: F-SKD of 2024, smaller for the student
    "teacher": {"cosface": 0.25, "arcface": 0.5, "adaface": 0.4},
    "student": {"cosface": 0.25, "arcface": 0.2, "adaface": 0.2},
}

Image = NDArray[np.uint8]


def identity_labels(chips: ChipSet) -> torch.Tensor:
    """Return identity numbers int64 (N,) of the chips; -1 where the identity is unknown."""
    names, numbers = np.unique(chips.identity, return_inverse=True)
    numbers = np.where(chips.identity == "", -1, numbers - int(names[0] == ""))
    return torch.from_numpy(numbers)


def choose_pairs(train: NDArray[np.intp], numbers: NDArray[np.intp], batch: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Choose a batch whose second half holds other photos of the people in its first half, in the same order.

    Args:
        train: rows that may be drawn.
        numbers: identity numbers of all rows, -1 where unknown.
        batch: size of the batch, even.
        rng: random generator.

    Returns:
        Rows int (batch,).

    Raises:
        SystemExit: too few people have two photos.
    """
    people, sizes = np.unique(numbers[train], return_counts=True)
    twice = people[(people >= 0) & (sizes > 1)]
    able = train[np.isin(numbers[train], twice)]
    if len(able) < batch // 2:
        raise SystemExit(
            f"--relation: needs {batch // 2} chips of people with two or more, there are {len(able)}; use a smaller --batch"
        )
    first = rng.choice(able, batch // 2, replace=False)
    second = [rng.choice(train[(numbers[train] == numbers[row]) & (train != row)]) for row in first]
    return np.concatenate([first, second])


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        role={"choices": ("student", "teacher"), "default": "student", "help": "a teacher trains on sharp faces only"},
        teacher={"type": Path, "help": "run or weight file whose stage features are distilled"},
        features={"choices": KINDS, "default": "cosine", "help": "distance between stage features"},
        weight={
            "type": float,
            "default": LAMBDA,
            "help": "weight of the stage features; l2 is about six times as large as cosine",
        },
        hints={"action": "store_true", "help": "1x1 layers between the student's stages and the teacher's"},
        relation={"action": "store_true", "help": "also compare relations between two pictures of one person"},
        margin={"choices": (*margins.KINDS, "none"), "default": "none", "help": "margin loss over labelled identities"},
        no_embedding={"action": "store_true", "help": "ablation: no embedding distillation"},
        look={"choices": LOOKS, "default": "video", "help": "degradation of the student's inputs"},
        restored={"action": "store_true", "help": "super-resolve some small faces"},
        superres={"type": Path, "help": "super-resolution weights, in place of the shipped ones"},
        embedding_teacher={"type": Path, "help": "recogniser (ONNX or weights) to distil in place of EdgeFace-XS"},
        network={"default": "small", "help": "small, iresnet18, iresnet50, or package.module:Class"},
        depths={"type": int, "nargs": 3, "help": "blocks of the small network's stages; those of --start may be fewer"},
        cbam={"action": "store_true"},
        pooled={"action": "store_true", "help": "mean of the last features as embedding"},
        morphs={"type": Path, "nargs": "+", "default": [], "help": "folders of training.data.morphs"},
        start={"type": Path, "help": "run or weight file to start from"},
        optimizer={"choices": ("muon", "adamw"), "default": "muon"},
    )
    args, batch, device = job.args, job.batch, job.device
    if args.teacher is None and (args.hints or args.relation):
        raise SystemExit("--hints and --relation compare with a teacher: --teacher RUN is needed")
    if args.no_embedding and args.teacher is None and args.margin == "none":
        raise SystemExit("nothing to learn from: --no-embedding needs --teacher or --margin")
    if args.morphs and args.embedding_teacher:
        raise SystemExit("--morphs: hold embeddings of EdgeFace-XS; leave --embedding-teacher out")
    if args.morphs and (args.no_embedding or args.relation):
        raise SystemExit("--morphs have no label, only the strong teacher's vector: not with --no-embedding or --relation")
    if args.restored and args.role == "teacher":
        raise SystemExit("--restored shows small faces, and a teacher sees sharp ones only")
    if args.restored and args.look.startswith("fskd"):
        raise SystemExit(f"--restored: --look {args.look} makes no chip at a resolution level; use --look video or cctv")
    missing = [folder for folder in args.morphs if not (folder / "command.txt").exists()]
    if missing:
        raise SystemExit(f"{missing[0]}: holds no morphs, or those of another version; make them with training.data.morphs")
    data_commands = [(folder / "command.txt").read_text() for folder in args.morphs]
    chips = load_chips(args.data, args.cache)
    targets = None
    if not args.no_embedding:
        own = args.embedding_teacher
        targets = torch.from_numpy(chips.embeddings_by(own, args.cache, device) if own else chips.teacher_embeddings())
    labels = identity_labels(chips)
    train, dev = np.flatnonzero(chips.train), np.flatnonzero(chips.dev)[:512]
    if args.margin != "none" and not bool((labels[train] >= 0).any()):
        raise SystemExit("--margin: no chip says whose it is (photos in PHOTOS/NAME/ do)")
    images = [chips.images, *(np.load(folder / "images.npy", mmap_mode="r") for folder in args.morphs)]
    firsts = np.cumsum([0, *map(len, images)])
    drawn = np.arange(firsts[1], firsts[-1])
    if args.morphs:
        targets = torch.cat([targets, *(torch.from_numpy(np.load(folder / "vectors.npy")) for folder in args.morphs)])
        labels = F.pad(labels, (0, len(drawn)), value=-1)
    student = load_superres(args.superres, device) if args.restored else None

    net, arguments = build_network(args)
    if args.start:
        first = load_averaged(args.start, {type(net).__name__: type(net)})
        try:
            init_from_shallower(net, first) if args.depths else net.load_state_dict(first.state_dict())
        except (ValueError, RuntimeError) as error:
            raise SystemExit(f"--start {args.start}: {error}") from None
    net = net.to(device, memory_format=torch.channels_last)
    teacher = None
    if args.teacher:
        kinds = NETWORKS | {type(net).__name__: type(net)}
        teacher = load_averaged(args.teacher, kinds).to(device, memory_format=torch.channels_last)
    auxiliary = nn.ModuleDict()
    if args.margin != "none":
        auxiliary["margin"] = margins.MarginHead(
            net.dim, int(labels.max()) + 1, args.margin, margin=MARGINS[args.role][args.margin]
        )
    if args.hints:
        auxiliary["hints"] = Hints(net.widths, teacher.widths)
    if targets is not None:
        wide = targets.shape[1]
        auxiliary["project"] = nn.Identity() if net.dim == wide else nn.Linear(net.dim, wide, bias=False)
    muon = args.optimizer == "muon"
    run = job.run(net, 0.05, arguments, auxiliary=auxiliary.to(device), muon=muon, data_commands=data_commands)

    def face(row: int) -> Image:
        part = int(np.searchsorted(firsts, row, "right")) - 1
        return images[part][row - firsts[part]]

    def make(step: int) -> tuple[Inputs, torch.Tensor]:
        rng = run.rng(step)
        if args.relation:
            rows = choose_pairs(train, labels.numpy(), batch, rng)
        else:
            most = round(MORPH_SHARE * batch) if len(drawn) else 0
            rows = np.concatenate([rng.choice(train, batch - most, replace=False), rng.choice(drawn, most, replace=False)])
            rng.shuffle(rows)
        hardness = 1.0 if args.start else run.progress_at(step)
        restored = round(SUPERRES_SHARE * batch) if student else 0
        return make_inputs([face(row) for row in rows], net.side, hardness, rng, args.look, restored), torch.from_numpy(rows)

    def signed(views: torch.Tensor | Image) -> torch.Tensor:
        return torch.as_tensor(views).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    seen_by_dev = dev_views(chips.images[dev], net.side, device) if targets is not None else {}
    for inputs, rows in run.batches(make, threads=12):
        y = signed(inputs.sharp)
        x = y if args.role == "teacher" else signed(inputs.seen)
        for where, low in inputs.to_restore:
            x[where] = crop_view(signed(student.upscale(low)), net.side)
        with autocast(device):
            embedding, stages = net.with_features(x)
        embedding = embedding.float()
        terms: dict[str, torch.Tensor] = {}
        if targets is not None:
            terms |= embedding_loss(net, embedding, auxiliary["project"], targets[rows].to(device), labels[rows].to(device))
        elif args.role == "student" and isinstance(net, Recognizer):
            with torch.no_grad(), autocast(device):
                sharp = run.average.net.with_features(y)[0].float()
            terms |= quality_loss(net, embedding, F.cosine_similarity(embedding, sharp))
        if teacher is not None:
            with autocast(device):
                with torch.no_grad():
                    teacher_stages = teacher.with_features(y)[1]
                followed = auxiliary["hints"](stages) if args.hints else stages
            if args.features != "none":
                terms["stages"] = args.weight * feature_distance(args.features, followed, teacher_stages)
            if args.relation:
                halves = [t[-1].float().chunk(2) for t in (stages, teacher_stages)]
                terms["relation"] = RELATION * relation_distance(*halves[0], *halves[1])
        label = labels[rows].to(device)
        if args.margin != "none" and bool((label >= 0).any()):
            terms["margin"] = (1.0 if targets is None else MARGIN_WEIGHT) * auxiliary["margin"](
                embedding[label >= 0], label[label >= 0]
            )
        run.update(sum(terms.values(), 0.0 * embedding.sum()), **terms)
        if targets is not None and (run.step % 1000 == 0 or run.done):
            print("  dev:", dev_cosines(run.average.net, seen_by_dev, targets[dev].to(device)), flush=True)


def dev_views(images: NDArray[np.uint8], side: int, device: str) -> dict[str, torch.Tensor]:
    """Make recogniser inputs (N, 3, side, side) in [-1, 1] of dev chips: sharp, and `cctv-fixed` at 32 and 20 pixels."""
    found: dict[str, torch.Tensor] = {}
    for name, size in (("area", 128), ("cctv-fixed", 32), ("cctv-fixed", 20)):
        rng = np.random.default_rng(0)
        small = np.stack([degradations.PRESETS[name](np.ascontiguousarray(i), size, rng) for i in images])
        x = torch.from_numpy(small).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        found[f"{name} {size}"] = crop_view(x, side)
    return found


@torch.no_grad()
def dev_cosines(net: nn.Module, views: dict[str, torch.Tensor], target: torch.Tensor) -> dict[str, float]:
    """Return the mean cosine to the teacher's unit embeddings ``target`` (N, D) by view; empty if the dimensions differ."""
    if net.dim != target.shape[1]:
        return {}
    units = {name: F.normalize(net.with_features(x)[0].float()) for name, x in views.items()}
    return {name: round(float((unit * target).sum(1).mean()), 4) for name, unit in units.items()}


if __name__ == "__main__":
    main()
