"""EdgeFace-XS (arXiv 2307.01838), used as teacher and as a baseline.

It needs timm (extra `eval`) and the published weights, which are non-commercial and not part of this project.
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
    """EdgeFace-XS with 512-dimensional embeddings.

    Args:
        weights: the published weights as safetensors.
        device: ``cpu`` or ``cuda``.

    Raises:
        SystemExit: timm is not installed.
    """

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        try:
            import timm  # optional dependency, used only here
        except ImportError:
            raise SystemExit(f"{weights}: needs timm, which is not installed; run pip install timm") from None
        self._net: Any = timm.create_model("edgenext_x_small", num_classes=512)
        self._net.load_state_dict({k.removeprefix("model."): v.float() for k, v in load_file(str(weights)).items()})
        self._dtype, self._device = compute_dtype(device)[0], device
        self._net.eval().requires_grad_(False).to(device, self._dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def embed(self, chips: NDArray[np.uint8], mirrored: bool = True) -> NDArray[np.float32]:
        """Embed chips.

        Args:
            chips: uint8 (N, 128, 128, 3) RGB.
            mirrored: sum the embeddings of the chip and its mirror image. False halves the time; the cosine to the sum is 0.998.

        Returns:
            float32 (N, 512), unit length. Computed in bfloat16 where that is fast; cosine to float32 is 0.9996.
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
        """Embed RGB images (N, 3, 128, 128) in 0..255 on the teacher's device to (N, 512), not normalised; differentiable."""
        edge = (CHIP - VIEW) // 2
        x = (pictures[..., edge:-edge, edge:-edge].float() / 127.5 - 1).to(self._dtype)
        vectors: Tensor = self._net(x.contiguous(memory_format=torch.channels_last))
        return vectors.float()
