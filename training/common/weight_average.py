"""The moving average of a network's weights, which is evaluated and published."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of weights and buffers, for evaluation and publishing.

    Args:
        net: network to average; a frozen copy is kept in ``self.net``.
        decay: decay per step; higher averages over more steps. At step n it is at most (1 + n) / (10 + n).
    """

    def __init__(self, net: nn.Module, decay: float = 0.999) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        pairs = list(zip(self.net.state_dict().values(), net.state_dict().values(), strict=True))
        floating = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        mine = [pair[0] for pair in floating]
        torch._foreach_lerp_(
            mine, [other.to(own.dtype) for own, other in floating], 1 - decay
        )  # one kernel launch for all tensors
        for own, other in pairs:
            if not own.dtype.is_floating_point:
                own.copy_(other)
