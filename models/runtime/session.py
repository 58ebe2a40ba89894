"""A small network in the form that the device runs quickest."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.runtime.devices import as_input, ready
from models.runtime.fused import packed
from models.runtime.int8 import as_map, if_it_pays
from models.weights_io import finite


class Quickest:
    """Runs a network that looks at pictures: in 8 bits where that pays and its card tells the ranges of its maps, else in the
    device's number format."""

    def __init__(self, net: nn.Module, card: dict[str, Any], device: torch.device) -> None:
        self._device = device
        whole = if_it_pays(net, card, device)
        self._int8 = whole is not None
        if whole is not None:
            self._net, self._dtype = whole, torch.float32
        else:
            net, self._dtype = ready(net, device)
            self._net = packed(net)

    @torch.inference_mode()
    def __call__(self, pictures: NDArray, *others: NDArray) -> Tensor:
        """What the network tells of pictures, bytes (N, H, W, 3), and of the other arrays it takes: finite floats."""
        more = (torch.from_numpy(values).to(self._device, self._dtype) for values in others)
        x = as_map(torch.from_numpy(pictures)) if self._int8 else as_input(pictures, self._device, self._dtype)
        return finite(self._net(x, *more).float())
