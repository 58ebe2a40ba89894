"""Run the super-resolution student: small chips to 128-pixel chips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.chip import check_chips
from models.networks.superres import ENTRY_LEVELS, SuperResNet
from models.runtime.devices import pick_device, prepare_for_inference
from models.weights_io import finite_or_zero, load_network

BATCH = 64


class Restorer:
    """Super-resolver of chips. The added detail is a prediction, not an observation: always label the output as synthetic.

    Args:
        weights: the network's ``.safetensors`` file.
        device: ``cpu``, ``cuda`` or ``auto``.

    Raises:
        ValueError: if the file does not hold a student network.
    """

    def __init__(self, weights: Path, device: str) -> None:
        net, _ = load_network(SuperResNet, weights, "superres")
        if len(net.fusions):
            raise ValueError(f"{weights}: a teacher, which needs the parsing map of the sharp face; use a student")
        self._device = pick_device(device)
        self._net, self._dtype = prepare_for_inference(net, self._device)

    def upscale(self, chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Super-resolve chips of one resolution level.

        Args:
            chips: uint8 (N, r, r, 3) RGB, r in 16, 32, 64, N > 0.

        Returns:
            uint8 (N, 128, 128, 3) RGB.

        Raises:
            ValueError: for another shape or dtype.
        """
        chips = check_chips(chips, ENTRY_LEVELS)
        return np.concatenate([self._batch(chips[i : i + BATCH]) for i in range(0, len(chips), BATCH)])

    @torch.inference_mode()
    def _batch(self, chips: NDArray[np.uint8]) -> NDArray[np.uint8]:
        x = torch.from_numpy(np.ascontiguousarray(chips)).to(self._device).permute(0, 3, 1, 2).to(self._dtype).div_(255)
        sharp = finite_or_zero(self._net(x).float()).mul_(255).add_(0.5).clamp_(0, 255).to(torch.uint8)
        return np.ascontiguousarray(sharp.permute(0, 2, 3, 1).cpu().numpy())
