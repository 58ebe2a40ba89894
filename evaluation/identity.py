"""Does super-resolution help a recogniser? Verification of a sharp photo against a small face, with and without it.

    python -m evaluation.identity --data DATA [--pairs 3000] [--edgeface edgeface_xs.safetensors]

``DATA/lfw-dev`` (never trained on): accuracy (10-fold protocol's folds 1 to 5) and TAR at FAR 1e-2, and the mean cosine between
a small face's vector and its own sharp chip's. Each size and degradation is embedded as it is (`direct`: the recogniser enlarges
it itself), after bicubic enlargement to 128 pixels, after the super-resolution student, and as the mean of the direct and the
super-resolved vector. ``--edgeface`` adds a recogniser that knows nothing of ours (needs timm, extra `eval`; its weights are
non-commercial: a yardstick only).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from evaluation.metrics import tar_at_far, verification_accuracy
from evaluation.recognition import load_lfw, to_rung
from evaluation.superres import enlarge
from models import load_recognizer, load_superres
from models.chip import CHIP
from models.recognizer import VIEW
from training.degradations import PRESETS

Chips = NDArray[np.uint8]
Embed = Callable[[Chips], NDArray[np.float32]]
LOOKS = (("bicubic", 16), ("bicubic", 32), ("cctv-fixed", 16), ("cctv-fixed", 20), ("cctv-fixed", 24), ("cctv-fixed", 32))
BATCH = 64


def edgeface(weights: Path) -> Embed:
    """EdgeFace-XS: chips of any side -> unit vectors (N, 512) of picture and mirror."""
    import timm
    import torch
    from safetensors.torch import load_file

    net: Any = timm.create_model("edgenext_x_small", num_classes=512)
    net.load_state_dict({k.removeprefix("model."): v.float() for k, v in load_file(str(weights)).items()})
    net.eval()
    edge = (CHIP - VIEW) // 2

    @torch.inference_mode()
    def embed(chips: Chips) -> NDArray[np.float32]:
        large = chips if chips.shape[1] == CHIP else enlarge(chips)
        done = []
        for i in range(0, len(large), BATCH):
            crop = np.ascontiguousarray(large[i : i + BATCH, edge:-edge, edge:-edge])
            x = torch.from_numpy(crop).permute(0, 3, 1, 2).float() / 127.5 - 1
            done.append(torch.nn.functional.normalize(net(x) + net(x.flip(3))).numpy())
        return np.concatenate(done)

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=3000)
    parser.add_argument("--edgeface", type=Path)
    args = parser.parse_args()
    cv2.setNumThreads(2)
    recognizers: dict[str, Embed] = {"ours": load_recognizer(device="cpu").embed}
    if args.edgeface:
        recognizers["edgeface"] = edgeface(args.edgeface)
    restore = load_superres(device="cpu").upscale
    chips, pairs = load_lfw(args.data)
    pairs = pairs[:: max(1, len(pairs) // args.pairs)]
    left, right = (np.array([p[i] for p in pairs]) for i in (0, 1))
    same, fold = np.array([p[2] for p in pairs]), np.array([p[3] for p in pairs])
    used, place = np.unique(np.concatenate([left, right]), return_inverse=True)
    left, right = place[: len(left)], place[len(left) :]
    chips = chips[used]
    print("recogniser  degradation  side  input     accuracy  TAR@1e-2  cosine to sharp")
    for name, embed in recognizers.items():
        sharp = embed(chips)
        for preset, side in LOOKS:
            rng = np.random.default_rng(0)
            low = np.stack([to_rung(PRESETS[preset](np.ascontiguousarray(c), side, rng)) for c in chips])
            vectors = {"direct": embed(low), "bicubic": embed(enlarge(low)), "student": embed(restore(low))}
            both = vectors["direct"] + vectors["student"]
            vectors["fused"] = both / np.linalg.norm(both, axis=1, keepdims=True)
            for how, small in vectors.items():
                scores = (sharp[left] * small[right]).sum(1)
                accuracy, tar = verification_accuracy(scores, same, fold), tar_at_far(scores, same, 0.01)
                cosine = float((sharp * small).sum(1).mean())
                print(
                    f"{name:10}  {preset:11}  {side:4}  {how:8}  {100 * accuracy:8.1f}  {100 * tar:8.1f}  {cosine:.3f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
