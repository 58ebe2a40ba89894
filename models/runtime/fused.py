"""Small convolutional networks as oneDNN runs them fastest on a CPU: ReLU and the residual sum in the convolution itself. Layer
by layer torch passes over the maps once more for every sum and ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks import ResidualBlock

OPERATIONS = torch.ops.mkldnn


def packed(net: nn.Module) -> nn.Module:
    """The network, made `ready` for the CPU, with its convolutions packed; on another device, or where torch has no oneDNN, as
    it is. What it gives differs by rounding. It can be neither copied nor pickled."""
    weights = next(net.parameters())
    known = hasattr(OPERATIONS, "_convolution_pointwise") and hasattr(OPERATIONS, "_reorder_convolution_weight")
    if weights.device.type == "cpu" and torch.backends.mkldnn.is_available() and known:
        _pack_children(net)
    return net


class PackedConv(nn.Module):
    """A convolution whose result, to which ``other`` may be added, goes through ReLU if told so."""

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self._geometry = [list(n) for n in (conv.padding, conv.stride, conv.dilation)] + [conv.groups]
        self.weight = conv.weight.detach()
        if conv.kernel_size == (1, 1):  # of the others the order in which they are read quickest depends on the input's size
            self.weight = OPERATIONS._reorder_convolution_weight(self.weight, *self._geometry, None)
        self.bias = None if conv.bias is None else conv.bias.detach()
        self._after = "relu" if relu else "none"

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        call, geometry = OPERATIONS._convolution_pointwise, self._geometry
        if other is None:
            return call(x, self.weight, self.bias, *geometry, self._after, [], "")  # type: ignore[no-any-return]
        return call.binary(  # type: ignore[no-any-return]
            x, other, self.weight, self.bias, *geometry, "add", 1.0, self._after, [], ""
        )


class PackedResidual(nn.Module):
    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        *self.before, self.last = _chain(nn.Sequential(*block.first, *block.second, nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        found = x
        for layer in self.before:
            found = layer(found)
        out: Tensor = self.last(found, x)
        return out


def _chain(layers: nn.Sequential) -> list[PackedConv]:
    """The convolutions of a sequence. Raises ValueError if anything else remains in it but ReLU and batch norms folded away."""
    for layer in layers:
        if not isinstance(layer, nn.Conv2d | nn.ReLU | nn.Identity):
            raise ValueError(f"a {type(layer).__name__} cannot be packed; `runtime.ready` folds batch norms")
    kept = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    following = [*kept[1:], None]
    return [PackedConv(a, isinstance(b, nn.ReLU)) for a, b in zip(kept, following, strict=True) if isinstance(a, nn.Conv2d)]


def _pack_children(net: nn.Module) -> None:
    for name, child in net.named_children():
        if isinstance(child, ResidualBlock):
            setattr(net, name, PackedResidual(child))
        elif isinstance(child, nn.Conv2d):
            setattr(net, name, PackedConv(child, False))
        elif isinstance(child, nn.Sequential) and len(child) and isinstance(child[0], nn.Conv2d):
            setattr(net, name, nn.Sequential(*_chain(child)))
        else:
            _pack_children(child)
