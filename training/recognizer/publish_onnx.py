"""Export a trained recogniser (also an iResNet or a network of your own) as an ArcFace-style ONNX file.

    python -m training.recognizer.publish_onnx --run runs/iresnet50 --out iresnet50.onnx [--network package.module:Class]
    python -m evaluation.recognition --data DATA --recognizer iresnet50=iresnet50.onnx --write-card

The second command evaluates the file and writes its impostor scores, which thresholds need, to the card. The pipeline then loads
it by path: ``shared: {recognizer: iresnet50.onnx}``. Needs the extra `onnx`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.export import write
from models.weights_io import write_card
from training.common.publish import CARDS, LICENCE, provenance_fields
from training.common.runs import load_averaged, load_projection, provenance_of
from training.recognizer.choose_network import NETWORKS, load_custom_network


class EmbeddingOnly(nn.Module):
    """A recogniser reduced to its embedding (N, D), projected to the teacher's dimension where that is smaller."""

    def __init__(self, net: nn.Module, project: Tensor | None) -> None:
        super().__init__()
        self.net, self.project = net, project

    def forward(self, x: Tensor) -> Tensor:
        vector: Tensor = self.net.with_features(x)[0]  # type: ignore[operator]
        return vector if self.project is None else F.linear(vector, self.project)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--network", help="your own network: package.module:Class")
    parser.add_argument("--data-note", default=CARDS["recognizer"]["data"], help="the training data, for the card")
    parser.add_argument("--licence", default=LICENCE)
    args = parser.parse_args()
    if args.out.suffix != ".onnx":
        parser.error(f"--out {args.out}: must end in .onnx")
    own = [load_custom_network(args.network)] if args.network else []
    makers: dict[str, Callable[..., nn.Module]] = NETWORKS | {kind.__name__: kind for kind in own}
    net = load_averaged(args.run, makers)
    side = int(net.side)  # type: ignore[arg-type]
    project = load_projection(args.run)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    pictures, batch = torch.rand(2, 3, side, side), torch.export.Dim("batch")
    write(EmbeddingOnly(net, project).eval(), args.out, {"pictures": pictures}, ["embedding"], ({0: batch},))
    card = {
        "kind": "recognizer",
        "about": f"{type(net).__name__}, {net.dim if project is None else len(project)} numbers a face",
        "preprocessing": f"chip's centre 112/128 scaled to {side}x{side}, RGB, (x - 127.5) / 127.5, mean of it and its mirror",
        "data": args.data_note,
        **provenance_fields(provenance_of(args.run)),
        "licence": args.licence,
    }
    write_card(args.out, card)
    print(f"{args.out}, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
