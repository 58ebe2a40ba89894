"""Weigh down what cameras do to a recogniser's vectors: the last step to its weights, once they are published.

    python -m training.recognizer.wccn --data DATA [--weights models/weights/recognizer.safetensors]

The directions in which the vector of a small, filmed, badly lit or badly placed face departs from that of its own sharp chip say
little of whose it is. Each counts the less, the further vectors depart along it: within-class covariance normalisation (Hatch,
Kajarekar, Stolcke 2006), a class being one photo in all its looks. Their scatter is mixed half with that of no direction more
than another: chips that were trained on depart less than others. Trainings that go on from these weights are not touched by it:
``with_features`` gives the vectors before it, the teacher's kind.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from models.networks.recognizer import Recognizer
from models.weights_io import WEIGHTS, load_network, save_weights
from training.common.runs import own_command, without_folders
from training.data.chips import load_chips
from training.recognizer.inputs import LOOKS, make_inputs, recognizer_view

BATCH = 50


def wccn_matrix(departures: NDArray[np.float32]) -> NDArray[np.float32]:
    """The symmetric matrix (D, D) that evens out departures (N, D), mixed with as much of every direction alike; its mean
    eigenvalue is about 1."""
    scatter = departures.T.astype(np.float64) @ departures / len(departures)
    scatter = scatter / (np.trace(scatter) / len(scatter)) + np.eye(len(scatter))
    values, axes = np.linalg.eigh(scatter / 2)
    return ((axes * values**-0.5) @ axes.T).astype(np.float32)


def within_class_differences(net: Recognizer, chips: NDArray[np.uint8], look: str, seed: int) -> NDArray[np.float32]:
    """How unit vectors of chips (N, 128, 128, 3) change, (N, D), when they are seen as in training."""
    rng, found = np.random.default_rng(seed), []
    for start in track(range(0, len(chips), BATCH), "looks"):
        some = [np.ascontiguousarray(chip) for chip in chips[start : start + BATCH]]
        seen = make_inputs(some, net.side, 1.0, rng, look).seen
        sharp = torch.from_numpy(np.stack([recognizer_view(chip, net.side) for chip in some]))
        found.append((_vectors(net, seen) - _vectors(net, sharp)).numpy())
    return np.concatenate(found)


@torch.inference_mode()
def _vectors(net: Recognizer, views: Tensor) -> Tensor:
    x = views.permute(0, 3, 1, 2).float().sub(127.5).div(127.5).contiguous(memory_format=torch.channels_last)
    return F.normalize(net.with_features(x)[0] + net.with_features(x.flip(3))[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "recognizer.safetensors")
    parser.add_argument("--chips", type=int, default=6000)
    parser.add_argument("--look", choices=LOOKS, default="video")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        net, card = load_network(Recognizer, args.weights, "recognizer")
    except ValueError as error:
        raise SystemExit(str(error)) from None
    chips = load_chips(args.data, args.cache)
    train = np.flatnonzero(chips.train)
    rows = np.sort(np.random.default_rng(args.seed).choice(train, min(args.chips, len(train)), replace=False))
    matrix = wccn_matrix(
        within_class_differences(net.eval().to(memory_format=torch.channels_last), chips.images[rows], args.look, args.seed)
    )
    net.whitening.copy_(torch.from_numpy(matrix))
    card = {key: value for key, value in card.items() if key not in ("impostors", "speed")}  # those were of other vectors
    save_weights(net, args.weights, card | {"command": f"{card['command']}; {without_folders(own_command())}", "figures": {}})
    print(f"{args.weights}: weighs directions {np.linalg.eigvalsh(matrix).min():.2f} to {np.linalg.eigvalsh(matrix).max():.2f}")


if __name__ == "__main__":
    main()
