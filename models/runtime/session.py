"""Run a small convolutional network in the form that is fastest on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.runtime.devices import prepare_for_inference, to_input
from models.runtime.fused import fuse_convolutions
from models.runtime.int8 import quantize_images, to_int8_where_faster
from models.weights_io import finite_or_zero


class InferenceSession:
    """A network that takes images in [-1, 1], prepared once and then called on uint8 batches.

    It runs in int8 where that is faster and its card holds quantisation ranges; else with fused convolutions in the device's
    number format.

    Args:
        net: the network. It is changed in place and must not be used otherwise.
        card: the card of its weight file.
        device: where it runs.
    """

    def __init__(self, net: nn.Module, card: dict[str, Any], device: torch.device) -> None:
        self._device = device
        quantized = to_int8_where_faster(net, card, device)
        self._int8 = quantized is not None
        if quantized is not None:
            self._net, self._dtype = quantized, torch.float32
        else:
            net, self._dtype = prepare_for_inference(net, device)
            self._net = fuse_convolutions(net)

    @torch.inference_mode()
    def __call__(self, images: NDArray[np.uint8], *auxiliary: NDArray[np.float32]) -> Tensor:
        """Run the network.

        Args:
            images: uint8 (N, H, W, 3).
            auxiliary: the network's other inputs, in order.

        Returns:
            Its output as float32; NaN and infinities are 0.
        """
        others = (torch.from_numpy(values).to(self._device, self._dtype) for values in auxiliary)
        x = quantize_images(torch.from_numpy(images)) if self._int8 else to_input(images, self._device, self._dtype)
        return finite_or_zero(self._net(x, *others).float())
