"""Write a network as ONNX, for runtimes without torch (extra `onnx`).

    python -m models.export superres --out superres.onnx [--side 16]
    python -m models.export recognizer --out recognizer.onnx
    python -m models.export detector --out detector.onnx
    python -m models.export landmarks --out landmarks.onnx
    python -m models.export rescore --out rescore.onnx

The batch size is dynamic. The super-resolution network is exported for one input side, 16, 32 or 64. The detector takes frames
of any size in multiples of 32 and returns its three maps (models/networks/detector.py says how to decode them). The verification
network (``rescore``) also takes the detector's logits and the candidates' heights. The card of each network states its
preprocessing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import nn

from models.networks.detector import STRIDES, DetectorNet
from models.networks.landmarks import SIDE as LANDMARK_SIDE
from models.networks.landmarks import LandmarkNet
from models.networks.recognizer import Recognizer
from models.networks.superres import ENTRY_LEVELS, SuperResNet
from models.networks.verification import VerificationNet
from models.weights_io import WEIGHTS, load_network

KINDS: dict[str, type[nn.Module]] = {
    "superres": SuperResNet,
    "recognizer": Recognizer,
    "detector": DetectorNet,
    "landmarks": LandmarkNet,
    "rescore": VerificationNet,
}


def export(kind: str, out: Path, weights: Path | None = None, side: int = 16) -> None:
    """Export a network.

    Args:
        kind: one of `KINDS`.
        out: the ``.onnx`` file to write.
        weights: the network's ``.safetensors`` file; None: the project's own.
        side: input side of the super-resolution network: 16, 32 or 64.

    Raises:
        ValueError: if the weights do not fit, or ``side`` is not 16, 32 or 64.
    """
    weights = weights or WEIGHTS / f"{kind}.safetensors"
    net = load_network(KINDS[kind], weights, kind)[0].eval()
    batch = torch.export.Dim("batch")
    shape: dict[int, Any] = {0: batch}
    auxiliary: dict[str, torch.Tensor] = {}
    if isinstance(net, Recognizer):
        side, outputs = net.side, ["embedding", "quality"]
    elif isinstance(net, DetectorNet):
        side, outputs = 160, [f"stride{s}" for s in STRIDES]
        shape |= {2: 32 * torch.export.Dim("rows"), 3: 32 * torch.export.Dim("columns")}
    elif isinstance(net, LandmarkNet):
        side, outputs = LANDMARK_SIDE, ["points"]
    elif isinstance(net, VerificationNet):
        side, outputs, auxiliary = net.side, ["logits_of_faces"], {"logits": torch.zeros(2), "octaves": torch.zeros(2)}
    elif side in ENTRY_LEVELS:
        outputs = ["picture"]
    else:
        raise ValueError(f"side = {side}: must be one of {ENTRY_LEVELS}")
    pictures = torch.rand(2, 3, side, side)
    write(net, out, {"pictures": pictures, **auxiliary}, outputs, (shape, *({0: batch} for _ in auxiliary)))


def write(net: nn.Module, out: Path, inputs: dict[str, torch.Tensor], outputs: list[str], shapes: tuple[Any, ...]) -> None:
    """Write a network as one ONNX file.

    Args:
        net: the network, in evaluation mode.
        out: the file to write.
        inputs: example inputs by name, in order.
        outputs: names of the outputs.
        shapes: the dynamic dimensions of each input, as `torch.export` takes them.
    """
    torch.onnx.export(
        net,
        tuple(inputs.values()),
        str(out),
        input_names=list(inputs),
        output_names=outputs,
        dynamic_shapes=shapes,
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
    try:
        export(args.kind, args.out, args.weights, args.side)
    except ValueError as error:
        parser.error(str(error))
    print(f"{args.out}, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
