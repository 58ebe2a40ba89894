"""Measure the int8 quantisation ranges of the detector's networks (`models.runtime.int8`).

    python -m training.detector.quantization --data DATA --scenes .cache/scenes

The ranges are the largest values of each feature map. The detector is measured on scenes, the verification network (the file next
to the detector, if present) on the detector's candidates, and the landmark network on chips of all sizes. The ranges are written
into the cards. A network without ranges in its card runs in the machine's default floating-point format.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from models.detection import SmallFaceDetector
from models.networks.detector import DetectorNet
from models.networks.landmarks import LandmarkNet, landmark_view
from models.networks.verification import CANDIDATE_MIN_SCORE, VerificationNet, candidate_views, octaves, to_logits
from models.runtime.devices import fold_batch_norms, to_input
from models.runtime.image_pyramid import ImagePyramid
from models.runtime.int8 import record_ranges
from models.weights_io import WEIGHTS, load_network, update_card
from training.common import degradations
from training.data.chips import load_chips
from training.detector.scene_pool import load_pool

BATCH = 32
KEPT = 0.7  # representable share of the largest value; clipping a few values costs less than coarser steps
SMALLEST, LARGEST = 9, 100  # sides of chips in pixels


@torch.inference_mode()
def measure(network: type, path: Path, kind: str, batches: Iterable[tuple[NDArray[np.uint8], *tuple[NDArray, ...]]]) -> None:
    """Measure the ranges of a network's feature maps and write them into its card.

    Args:
        network: class of the network.
        path: its weight file.
        kind: the network's kind in the card, such as ``detector``.
        batches: tuples of images uint8 (N, H, W, 3) and the network's other inputs.
    """
    net: Any = fold_batch_norms(load_network(network, path, kind)[0].eval()).to(memory_format=torch.channels_last)
    largest = record_ranges(net)
    for pictures, *others in batches:
        net(to_input(pictures, torch.device("cpu"), torch.float32), *map(torch.from_numpy, others))
    update_card(path, ranges={name: float(f"{KEPT * value:.4g}") for name, value in largest.items()})
    print(f"{path}: {min(largest.values()):.2f} to {max(largest.values()):.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, required=True, help="folder of training.detector.scene_pool")
    parser.add_argument("--detector", type=Path, default=WEIGHTS / "detector.safetensors")
    parser.add_argument("--number", type=int, default=1024, help="of scenes, and of chips")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    pool = load_pool(args.scenes)
    scenes = [np.ascontiguousarray(pool[n].image) for n in rng.choice(len(pool), min(args.number, len(pool)), replace=False)]
    batches = [scenes[start : start + BATCH] for start in range(0, len(scenes), BATCH)]
    measure(DetectorNet, args.detector, "detector", ((np.stack(some),) for some in track(batches, "scenes")))

    second = args.detector.with_name(args.detector.name.replace("detector", "rescore"))
    if second.exists():
        detector = SmallFaceDetector(args.detector, "cpu", CANDIDATE_MIN_SCORE, verify=False)
        side = load_network(VerificationNet, second, "rescore")[0].side
        found = zip(scenes, detector.candidates(scenes), strict=True)
        inputs = (
            (candidate_views(ImagePyramid(s), f.boxes, side), to_logits(f.scores), octaves(f.boxes)) for s, f in found if len(f)
        )
        measure(VerificationNet, second, "rescore", inputs)

    chips = load_chips(args.data, args.cache)
    rows = np.sort(rng.choice(np.flatnonzero(chips.train), args.number, replace=False))
    sides = np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST), len(rows))).astype(int)
    seen = [landmark_view(degradations.cctv(chip, int(s), rng)) for chip, s in zip(chips.images[rows], sides, strict=True)]
    parts = ((np.stack(seen[start : start + BATCH]),) for start in range(0, len(seen), BATCH))
    measure(LandmarkNet, WEIGHTS / "landmarks.safetensors", "landmarks", parts)


if __name__ == "__main__":
    main()
