"""Train PKDN (arXiv 2409.14385): a teacher that is given the parsing map of the sharp face, then a student without it.

    python -m training.papers.pkdn --data DATA --out runs/pkdn-teacher --role teacher
    python -m training.papers.pkdn --data DATA --out runs/pkdn --teacher runs/pkdn-teacher
    python -m training.papers.pkdn --data DATA --out runs/pkdn-alone                            # student without distillation

x8 from clean bicubic. Teacher loss: L1. Student loss: L1 + 10 * fade * mean L1 of seven features + 0.1 * L1 to the teacher's
image. The fade falls to 0 over the first half, where distillation ends (`training.superres.distillation`; its predecessor
KDFSRNet fades over 10 of 400 epochs). ``--blocks`` sets 2, 4 or 6 RCABs a stage. Differences, for shorter schedules: learning
rate 4e-4 (GPU: 2e-4, batches of 32) with warm-up, cosine decay and gradients clipped at 5, in place of a constant 1e-4; mirror
images but no rotations by 90 degrees; six regions in place of one merged map; the evaluated network is the weight average.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from models.networks.pkdn import Pkdn
from models.runtime.devices import autocast
from training.common.plan import plan
from training.common.runs import load_averaged
from training.data.chips import load_chips
from training.data.priors import REGIONS
from training.superres.distillation import KINDS, Distillation
from training.superres.inputs import PairMaker

PRESETS: dict[str, dict[str, Any]] = {
    "cpu": {"samples": 12_000, "batch": 8, "lr": 4e-4},
    "gpu": {"samples": 1_600_000, "batch": 32, "lr": 2e-4},
}


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        role={"choices": ("student", "teacher"), "default": "student"},
        teacher={"type": Path, "help": "run of the teacher to distil"},
        features={"choices": KINDS, "default": "l1", "help": "how features are distilled"},
        blocks={"type": int, "default": 2, "help": "RCABs a stage"},
        no_softmax={"action": "store_true", "help": "ablation: no softmax attention in the teacher's fusion"},
    )
    args, device = job.args, job.device
    chips = load_chips(args.data, args.cache)
    arguments: dict[str, Any] = {"blocks": args.blocks}
    if args.role == "teacher":
        arguments |= {"regions": len(REGIONS), "softmax": not args.no_softmax}
    net = Pkdn(**arguments).to(device, memory_format=torch.channels_last)
    distil = None
    if args.teacher:
        teacher = load_averaged(args.teacher, {"Pkdn": Pkdn}).to(device, memory_format=torch.channels_last)
        distil = Distillation(teacher, args.features)
    parsing = args.role == "teacher" or distil is not None
    pairs = PairMaker(chips, chips.rows_with_detail(dev=False), device, parsing, plain=True)
    run = job.run(net, arguments=arguments, betas=(0.9, 0.99))

    while not run.done:
        given = pairs.draw(16, job.batch, int(run.rng(run.step).integers(2**31)))
        x, prior = F.interpolate(given.low, scale_factor=8, mode="bicubic", align_corners=False), given.parsing
        x = x.contiguous(memory_format=torch.channels_last)
        with autocast(device):
            (picture,), seen = net.with_features(x, prior if args.role == "teacher" else None)
        terms = {"pixel": (picture.float() - given.sharp).abs().mean()}
        if distil:
            terms |= distil(run.progress, x, prior, picture, seen)
        run.update(torch.stack(list(terms.values())).sum(), **terms)


if __name__ == "__main__":
    main()
