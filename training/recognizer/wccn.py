"""Apply within-class covariance normalisation (WCCN) to published recogniser weights, as the last step.

    python -m training.recognizer.wccn --data DATA [--weights models/weights/recognizer.safetensors]

WCCN (Hatch, Kajarekar, Stolcke 2006) down-weights embedding directions that vary with the camera and so say little about
identity. A class is one photo with all its degradations; its variation is measured between degraded and sharp chips.
The covariance is mixed half and half with the identity matrix, because training chips vary less than unseen ones. Training that
starts from these weights is not affected: ``with_features`` returns the embeddings before WCCN.
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
from training.common.runs import current_command, strip_folders
from training.data.chips import load_chips
from training.recognizer.inputs import LOOKS, make_inputs, recognizer_view

BATCH = 50


def wccn_matrix(departures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the WCCN matrix (D, D) from within-class differences (N, D): symmetric, mean eigenvalue about 1."""
    scatter = departures.T.astype(np.float64) @ departures / len(departures)
    scatter = scatter / (np.trace(scatter) / len(scatter)) + np.eye(len(scatter))
    values, axes = np.linalg.eigh(scatter / 2)
    return ((axes * values**-0.5) @ axes.T).astype(np.float32)


def within_class_differences(net: Recognizer, chips: NDArray[np.uint8], look: str, seed: int) -> NDArray[np.float32]:
    """Compute differences (N, D) between unit embeddings of degraded and sharp chips uint8 (N, 128, 128, 3)."""
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
    card = {key: value for key, value in card.items() if key not in ("impostors", "speed")}  # measured on other embeddings
    save_weights(net, args.weights, card | {"command": f"{card['command']}; {strip_folders(current_command())}", "figures": {}})
    print(
        f"{args.weights}: weights of directions {np.linalg.eigvalsh(matrix).min():.2f} to {np.linalg.eigvalsh(matrix).max():.2f}"
    )


if __name__ == "__main__":
    main()
