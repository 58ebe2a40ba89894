"""Train the progressive super-resolution network. On 2 cores, one after the other:

    python -m training.superres.train --data DATA --out runs/superres-plain --no-identity                     # 80 min
    python -m training.superres.train --data DATA --out runs/superres --start runs/superres-plain \\
        --samples 8000 --lr 4e-4                                                                              #  8 min

In place of the second, to distil from a teacher that is given the parsing map of the sharp face:

    python -m training.superres.train --data DATA --out runs/superres-teacher --role teacher \\
        --start runs/superres-plain --samples 9600 --lr 4e-4
    python -m training.superres.train --data DATA --out runs/superres --start runs/superres-plain \\
        --teacher runs/superres-teacher --samples 42000 --lr 4e-4

Muon is the optimiser: from scratch, after 8,000 samples, it was 0.30, 0.37 and 0.58 dB ahead of AdamW at x8, x4 and x2 (learning
rates 1.5e-3 and 1.2e-3, dev chips). On a GPU add ``--preset gpu``. The loss combines both super-resolution papers:

- L1 at every resolution level, and the facial attention loss of PFSR (arXiv 1908.08239, La: L1 weighted by the landmark heat map
  of the target) at 64 and 128 pixels;
- with ``--teacher``, the distillation of PKDN (arXiv 2409.14385): the student's features at 16, 32 and 64 pixels and its image
  follow the teacher's. The feature term fades to 0 over the first four fifths of the run (KDFSRNet: the first epochs);
- identity: 1 - cosine between the recogniser's embeddings of the output and of the sharp chip. ``--judge`` adds the same term
  with EdgeFace-XS at x8, so that the output is not tuned to one recogniser;
- with ``--psnr SHARE``, PSNR and SSIM replace L1 at 128 pixels after that share of the run. L1 estimates the median; PSNR
  estimates the mean, which has the lower squared error.

Training pairs are made on the training device (`training.superres.inputs`). The teacher trains without the identity term. There
is no adversarial term, because it invents details (`training.papers.pfsr` has it).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from models.networks.recognizer import Recognizer, crop_view
from models.networks.superres import ENTRY_LEVELS, SuperResNet
from models.runtime.devices import autocast
from models.weights_io import WEIGHTS
from training.common.edgeface import EdgeFace
from training.common.plan import plan
from training.common.runs import load_averaged, provenance_of
from training.common.ssim import luma_ssim
from training.data.chips import load_chips
from training.data.priors import REGIONS, attention_map
from training.superres.distillation import KINDS, Distillation
from training.superres.inputs import PairMaker, Pairs

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"samples": 110_000, "batch": 16, "lr": 1.5e-3},
    "gpu": {"samples": 4_000_000, "batch": 256, "lr": 2e-3},
}
LEVEL_SHARES = {16: 0.5, 32: 0.3, 64: 0.2}  # of every batch; alternating levels made the training unstable
STEP_WEIGHT = {32: 0.25, 64: 0.25, 128: 1.0}
ATTENTION = 1.0
IDENTITY = 0.06
PSNR, SSIM = 0.007, 0.06  # per dB, and of 1 - SSIM; their gradients then match that of L1 at x8


def frozen_recognizer(source: Path, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """A frozen recogniser as a differentiable function of chips (N, 3, 128, 128) in 0..1 to embeddings (N, D)."""
    net = load_averaged(source, {"Recognizer": Recognizer}).to(device, memory_format=torch.channels_last)

    def embed(chips: torch.Tensor) -> torch.Tensor:
        with autocast(device):
            embedding: torch.Tensor = net(crop_view(chips * 2 - 1, net.side))[0]
        return embedding.float()

    return embed


def frozen_edgeface(weights: Path, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """EdgeFace-XS as a differentiable function of chips (N, 3, 128, 128) in 0..1 to embeddings (N, 512)."""
    teacher = EdgeFace(weights, device)
    return lambda chips: teacher.vectors(chips * 255)


def within(picture: torch.Tensor, given: Pairs) -> torch.Tensor:
    """Replace pixels of the output (N, 3, side, side) outside the source photo by the target's, so that they add no loss."""
    if given.inside.all():
        return picture
    factor = 128 // picture.shape[-1]
    covered = F.avg_pool2d(given.inside.float(), factor) > 0.99
    return torch.where(covered, picture, F.avg_pool2d(given.sharp, factor).to(picture.dtype))


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        role={"choices": ("student", "teacher"), "default": "student"},
        start={"type": Path, "help": "start from the weights of this run or file"},
        teacher={"type": Path, "help": "distil this teacher, a run"},
        features={"choices": KINDS, "default": "l1", "help": "how features are distilled"},
        identity={"type": float, "default": IDENTITY, "help": "weight of the identity term"},
        psnr={"type": float, "default": 1.0, "help": "share of the run after which PSNR and SSIM replace L1"},
        no_attention={"action": "store_true", "help": "ablation: leave the facial attention loss out"},
        no_identity={"action": "store_true", "help": "ablation: leave the identity term out"},
        recognizer={"type": Path, "default": WEIGHTS / "recognizer.safetensors", "help": "run or weights of the identity term"},
        judge={"type": Path, "help": "weights of EdgeFace-XS, for a second identity term at x8"},
    )
    args, device = job.args, job.device
    chips = load_chips(args.data, args.cache)
    arguments = (
        {name: value for name, value in provenance_of(args.start).architecture.items() if name != "regions"} if args.start else {}
    )
    arguments |= {"regions": len(REGIONS)} if args.role == "teacher" else {}
    net = SuperResNet(**arguments)
    if args.start:
        keys = net.load_state_dict(load_averaged(args.start, {"SuperResNet": SuperResNet}).state_dict(), strict=False)
        if keys.unexpected_keys:
            raise SystemExit(f"--start {args.start}: these are weights of a teacher, which a student cannot start from")
    net = net.to(device, memory_format=torch.channels_last)
    distil = None
    if args.teacher:
        teacher = load_averaged(args.teacher, {"SuperResNet": SuperResNet}).to(device, memory_format=torch.channels_last)
        distil = Distillation(teacher, args.features)
    judges: list[tuple[tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]]] = []
    if not args.no_identity and args.role == "student":
        judges.append((ENTRY_LEVELS, frozen_recognizer(args.recognizer, device)))
        if args.judge:
            judges.append((ENTRY_LEVELS[:1], frozen_edgeface(args.judge, device)))
    pairs = PairMaker(chips, chips.rows_with_detail(dev=False), device, parsing=args.role == "teacher" or distil is not None)
    run = job.run(net, arguments=arguments, betas=(0.9, 0.99), clip=0.1, muon=True)

    def losses(given: Pairs) -> dict[str, torch.Tensor]:
        """Compute the loss terms by name for pairs of one resolution level."""
        low, prior = given.low.contiguous(memory_format=torch.channels_last), given.parsing
        with autocast(device):
            pictures, seen = net.with_features(low, prior if args.role == "teacher" else None)
        pictures = [within(picture, given) for picture in pictures]
        terms = {name: torch.zeros((), device=device) for name in ("pixel", "attention")}
        for picture in pictures:
            side = picture.shape[-1]
            error = (picture.float() - (given.sharp if side == 128 else F.avg_pool2d(given.sharp, 128 // side))).abs()
            if side == 128 and run.progress >= args.psnr:
                lost = PSNR * 10 * error.square().mean((1, 2, 3)).log10() + SSIM * (1 - luma_ssim(picture.float(), given.sharp))
                terms["pixel"] = terms["pixel"] + lost.mean()
            else:
                terms["pixel"] = terms["pixel"] + error.mean() * STEP_WEIGHT[side]
            if side >= 64 and not args.no_attention:
                attended = (attention_map(given.points, side) * error).mean() * STEP_WEIGHT[side]
                terms["attention"] = terms["attention"] + ATTENTION * attended
        if distil:
            terms |= distil(run.progress, low, prior, pictures[-1], seen)
        for number, (levels, embed) in enumerate(judges):
            if low.shape[-1] in levels:
                with torch.no_grad():
                    wanted = embed(given.sharp)
                similar = F.cosine_similarity(embed(pictures[-1].float()), wanted)
                terms[f"identity{number or ''}"] = args.identity * (1 - similar).mean()
        return terms

    while not run.done:
        rng, terms = run.rng(run.step), {}
        for level in ENTRY_LEVELS:
            given = pairs.draw(level, max(1, round(job.batch * LEVEL_SHARES[level])), int(rng.integers(2**31)))
            for name, term in losses(given).items():
                terms[name] = terms.get(name, 0.0) + LEVEL_SHARES[level] * term
        run.update(torch.stack(list(terms.values())).sum(), **terms)


if __name__ == "__main__":
    main()
