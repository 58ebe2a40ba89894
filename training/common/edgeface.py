"""EdgeFace-XS: the recogniser others teach with, as teacher for new pictures and as a yardstick (arXiv 2307.01838).

Needs timm (extra `eval`) and its weights, which are non-commercial and never part of this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from models.chip import CHIP
from models.networks.recognizer import VIEW
from models.runtime.devices import compute_dtype

BATCH = 128


class EdgeFace:
    """Unit vectors of 512 numbers; knows nothing of this project's networks."""

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        try:
            import timm  # an extra, which only this needs
        except ImportError:
            raise SystemExit(f"{weights}: timm is not installed; pip install timm") from None
        self._net: Any = timm.create_model("edgenext_x_small", num_classes=512)
        self._net.load_state_dict({k.removeprefix("model."): v.float() for k, v in load_file(str(weights)).items()})
        self._dtype, self._device = compute_dtype(device)[0], device
        self._net.eval().requires_grad_(False).to(device, self._dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def embed(self, chips: NDArray[np.uint8], mirrored: bool = True) -> NDArray[np.float32]:
        """Unit vectors (N, 512) of uint8 RGB chips (N, 128, 128, 3), each the sum of picture and mirror, or the picture's alone.

        In bfloat16, whose vectors have a cosine of 0.9996 to those in float32; to the sum, the picture's alone has 0.998.
        """
        done = []
        for i in range(0, len(chips), BATCH):
            pictures = torch.from_numpy(np.ascontiguousarray(chips[i : i + BATCH])).to(self._device).permute(0, 3, 1, 2)
            vectors = self.vectors(pictures)
            if mirrored:
                vectors = vectors + self.vectors(pictures.flip(3))
            done.append(torch.nn.functional.normalize(vectors).cpu().numpy())
        return np.concatenate(done)

    def vectors(self, pictures: Tensor) -> Tensor:
        """Vectors (N, 512), of any length, of RGB pictures (N, 3, 128, 128) in 0..255 on the teacher's device; gradients of the
        pictures flow through."""
        edge = (CHIP - VIEW) // 2
        x = (pictures[..., edge:-edge, edge:-edge].float() / 127.5 - 1).to(self._dtype)
        vectors: Tensor = self._net(x.contiguous(memory_format=torch.channels_last))
        return vectors.float()
