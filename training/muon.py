"""Muon for convolutions: the steps of `torch.optim.Muon`, which knows matrices alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def as_matrix(weight: Tensor) -> Tensor:
    """A layer's weights (out, ...) as a matrix (out, all else) that shares their memory; the columns' order does not matter."""
    if weight.ndim == 4:
        weight = weight.permute(0, 2, 3, 1)
    return weight.view(len(weight), -1) if weight.is_contiguous() else weight.reshape(len(weight), -1)


class Muon:
    """Looks like one optimiser and is two: Muon for whatever has two axes or more, AdamW for the rest.

    Steps are scaled to the size of AdamW's, so that learning rates mean the same. Convolutions have to be in
    ``channels_last``, linear layers as they are.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, betas: tuple[float, float]) -> None:
        parameters = list(parameters)
        self._weights = [p for p in parameters if p.ndim > 1]
        self._matrices = [nn.Parameter(as_matrix(p.detach())) for p in self._weights]
        if any(m.data_ptr() != p.data_ptr() for m, p in zip(self._matrices, self._weights, strict=True)):
            raise ValueError("convolutions must be in channels_last: their weights cannot be seen as matrices otherwise")
        rest = [p for p in parameters if p.ndim <= 1]
        self._parts: list[torch.optim.Optimizer] = [
            torch.optim.Muon(self._matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=lr, betas=betas, weight_decay=0.0, fused=True),
        ]
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for weight in self._weights:
            weight.grad = None
        for part in self._parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        for weight, matrix in zip(self._weights, self._matrices, strict=True):
            matrix.grad = None if weight.grad is None else as_matrix(weight.grad)
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._parts[0].state_dict(), "adamw": self._parts[1].state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, name in zip(self._parts, ("muon", "adamw"), strict=True):
            part.load_state_dict(state[name])
        self.param_groups = [group for part in self._parts for group in part.param_groups]
