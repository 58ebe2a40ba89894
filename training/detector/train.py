"""Train the small-face detector by resolution distillation.

    python -m training.data.label_frames --data DATA --teacher scrfd_2.5g_kps.onnx --out .cache/frames
    python -m training.detector.scene_pool --data DATA --frames .cache/frames --out .cache/scenes
    python -m training.detector.train --data DATA --scenes .cache/scenes --out runs/detector     # 2 cores, about 12 min

``--preset gpu`` trains longer; use a pool of ``--number 100000`` with it.

Losses: quality focal loss on the score (Li et al. 2020, arXiv 2006.04388, eq. 6; the target is the IoU of the cell's predicted
    box),
GIoU on the box (Rezatofighi et al. 2019, arXiv 1902.09630), and smooth L1 on the landmarks in face widths. A face is assigned to
the stride for its width, and to the cells of that stride within one stride of its centre (`training.detector.scene_batches`).
"""

from __future__ import annotations

from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.detector import FAST, STRIDES, DetectorNet, cell_centres, decode_cells
from models.runtime.devices import autocast
from training.common.plan import plan
from training.common.runs import load_averaged, provenance_of
from training.detector.scene_batches import SceneBatches
from training.detector.scene_pool import load_pool

PRESETS = {
    "cpu": {"samples": 85_000, "batch": 32, "lr": 1e-2},
    "gpu": {"samples": 2_000_000, "batch": 256, "lr": 1e-2},
}


def giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU (M,) and generalised IoU (M,) of paired boxes (M, 4)."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - inter
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = inter / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


def steady(net: nn.Module) -> nn.Module:
    """Freeze the statistics of all batch norms, and fold each norm into the convolution before it.

    This shortens a training step by a third. Use it only when training starts from trained weights, whose statistics are valid.

    Returns:
        The same network, changed in place.
    """

    def forward(block: Any, x: Tensor) -> Tensor:
        conv, norm, *rest = block
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        bias = norm.bias - norm.running_mean * factor
        x = F.conv2d(x, conv.weight * factor[:, None, None, None], bias, conv.stride, conv.padding)
        return F.relu(x, inplace=True) if rest else x

    for part in net.modules():
        if isinstance(part, nn.Sequential) and len(part) > 1 and isinstance(part[1], nn.BatchNorm2d):
            part.forward = MethodType(forward, part)  # type: ignore[method-assign]
    return net


def losses(outputs: list[Tensor], owners: list[Tensor], boxes: Tensor, landmarks: Tensor) -> dict[str, Tensor]:
    """Loss terms of a batch.

    Args:
        outputs: for each stride the network's output (N, 15, h, w).
        owners: for each stride (N, h, w), as in `training.detector.scene_batches.Batch`.
        boxes: (M, 4) in pixels.
        landmarks: (M, 5, 2) in pixels.

    Returns:
        ``score``, ``box`` and ``mark``, each a mean over the assigned cells.
    """
    score = box = mark = outputs[0].new_zeros(())
    positives = 0
    for output, owner, stride in zip(outputs, owners, STRIDES, strict=True):
        maps = output.float().permute(0, 2, 3, 1)
        logits = maps[..., 0]
        target = torch.zeros_like(logits)
        batch, row, column = torch.nonzero(owner >= 0, as_tuple=True)
        if len(batch):
            faces = owner[batch, row, column]
            centres = cell_centres(*owner.shape[1:], stride, output.device)[row, column]
            predicted, points = decode_cells(maps[batch, row, column, 1:], centres, stride)
            truth = boxes[faces]
            iou, general = giou(predicted, truth)
            target[batch, row, column] = iou.detach().clamp(0.1, 1)
            box = box + (1 - general).sum()
            width = (truth[:, 2] - truth[:, 0])[:, None, None]
            mark = (
                mark + F.smooth_l1_loss(points / width, landmarks[faces] / width, beta=0.05, reduction="none").mean((1, 2)).sum()
            )
            positives += len(batch)
        weight = (target - logits.sigmoid().detach()).abs() ** 2 * (owner != -2)
        score = score + (weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")).sum()
    count = max(positives, 1)
    return {"score": score / count, "box": box / count, "mark": mark / count}


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        scenes={"type": Path, "required": True, "help": "folder of training.detector.scene_pool"},
        start={"type": Path, "help": "begin with the weights of this run or file"},
        steady={"action": "store_true", "help": "freeze the batch norms' statistics, which is faster; for --start"},
        fast={"action": "store_true", "help": "the network with half the operations"},
    )
    args, batch, device = job.args, job.batch, job.device
    arguments = provenance_of(args.start).architecture if args.start else FAST if args.fast else {}
    net = DetectorNet(**arguments)
    if args.start:
        net.load_state_dict(load_averaged(args.start, {"DetectorNet": DetectorNet}).state_dict())
    net = net.to(device, memory_format=torch.channels_last)
    pool = load_pool(args.scenes)
    data_commands = (args.scenes / "command.txt").read_text().splitlines()
    print(f"{len(pool)} scenes, {sum(len(p.scores) for p in pool)} faces", flush=True)
    batches = SceneBatches(np.load(args.scenes / "images.npy", mmap_mode="c"), pool, device)
    if args.steady:
        steady(net)
    run = job.run(net, 0.02, arguments, muon=True, data_commands=data_commands)
    for shown in run.batches(lambda step: batches.draw(run.rng(step), batch), threads=1):
        with autocast(device):
            outputs = net(shown.x)
        terms = losses(outputs, shown.owners, shown.boxes, shown.landmarks)
        run.update(terms["score"] + 2 * terms["box"] + 5 * terms["mark"], **terms)


if __name__ == "__main__":
    main()
