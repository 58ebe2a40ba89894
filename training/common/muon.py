"""The Muon optimiser (Jordan 2024), with the step size of Liu et al. (arXiv 2502.16982).

`torch.optim.Muon` supports matrices only and computes in bfloat16, which some processors emulate. This version also supports
convolutions and uses the fastest dtype of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from models.runtime.devices import compute_dtype

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
ADAMW_RMS = 0.2  # RMS of a typical AdamW step, so that learning rates are comparable


def orthogonal(matrices: Tensor) -> Tensor:
    """Orthogonalise matrices (k, m, n) by five Newton-Schulz iterations; singular values end up between 0.7 and 1.2."""
    x = matrices.to(compute_dtype(matrices.device.type)[0])
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


class Orthogonal(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised steps. Weights (out, ...) are flattened to matrices (out, rest)."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        for group in self.param_groups:
            # Weights of one shape share a batched product, because single small matrices leave a GPU idle.
            alike: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for weight in (p for p in group["params"] if p.grad is not None):
                momentum = self.state[weight].setdefault("momentum", torch.zeros_like(weight))
                momentum.lerp_(weight.grad, 1 - MOMENTUM)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                alike.setdefault(weight.flatten(1).shape, []).append(weight)
            for shape, weights in alike.items():
                steps = [w.grad.lerp(self.state[w]["momentum"], MOMENTUM).flatten(1) for w in weights]  # type: ignore[union-attr]
                size = ADAMW_RMS * max(shape) ** 0.5
                for weight, step in zip(weights, orthogonal(torch.stack(steps)), strict=True):
                    weight.add_(step.reshape(weight.shape), alpha=-group["lr"] * size)


class Muon:
    """Combined optimiser: `Orthogonal` for parameters with two or more axes, AdamW for the rest.

    Args:
        parameters: parameters to train.
        lr: learning rate; the step size matches that of AdamW.
        weight_decay: weight decay of matrices and convolutions; other parameters have none.
        betas: AdamW's betas.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, betas: tuple[float, float]) -> None:
        parameters = list(parameters)
        self._parts: list[torch.optim.Optimizer] = [
            Orthogonal([p for p in parameters if p.ndim > 1], lr, weight_decay),
            torch.optim.AdamW([p for p in parameters if p.ndim <= 1], lr=lr, betas=betas, weight_decay=0.0, fused=True),
        ]
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self._parts:
            part.zero_grad(set_to_none)

    def step(self) -> None:
        for part in self._parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"muon": self._parts[0].state_dict(), "adamw": self._parts[1].state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for part, name in zip(self._parts, ("muon", "adamw"), strict=True):
            part.load_state_dict(state[name])
        self.param_groups = [group for part in self._parts for group in part.param_groups]
