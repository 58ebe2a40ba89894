"""Write a network as ONNX, for runtimes without torch (extra `onnx`).

    python -m models.export superres --out superres.onnx [--side 16]
    python -m models.export recognizer --out recognizer.onnx

Batches of any length. The super-resolution network is written for one side of its input, 16, 32 or 64. Each output stands
beside its preprocessing in the network's card.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn

from models.recognizer import Recognizer
from models.superres import ENTRIES, SuperResNet
from models.weights_io import WEIGHTS, load_weights, read_card

KINDS: dict[str, type[nn.Module]] = {"superres": SuperResNet, "recognizer": Recognizer}


def export(kind: str, out: Path, weights: Path | None = None, side: int = 16) -> None:
    """Write the network of ``kind`` to ``out``. Raises ValueError for weights that do not fit or a side that is none."""
    weights = weights or WEIGHTS / f"{kind}.safetensors"
    net = KINDS[kind](**read_card(weights, kind)["architecture"]).eval()
    load_weights(net, weights)
    if isinstance(net, Recognizer):
        side, outputs = net.side, ["embedding", "quality"]
    elif side in ENTRIES:
        outputs = ["picture"]
    else:
        raise ValueError(f"side = {side}: must be one of {ENTRIES}")
    torch.onnx.export(
        net,
        (torch.rand(2, 3, side, side),),
        str(out),
        input_names=["chips"],
        output_names=outputs,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--side", type=int, default=16)
    args = parser.parse_args()
    export(args.kind, args.out, args.weights, args.side)
    print(f"{args.out}, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
