"""Fused convolutions for CPUs: oneDNN applies ReLU and the residual sum within the convolution.

Layer by layer, torch would pass over the feature maps once more for every sum and every ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.blocks import ResidualBlock

OPERATIONS = torch.ops.mkldnn


def fuse_convolutions(net: nn.Module) -> nn.Module:
    """Replace a network's convolutions by fused ones, in place; results differ by rounding only.

    Nothing changes on other devices and where torch has no oneDNN. A fused network can be neither copied nor pickled.

    Args:
        net: a network from `prepare_for_inference`, so without batch norms after convolutions.

    Raises:
        ValueError: if a sequence holds a layer that cannot be fused.
    """
    weights = next(net.parameters())
    available = hasattr(OPERATIONS, "_convolution_pointwise") and hasattr(OPERATIONS, "_reorder_convolution_weight")
    has_onednn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    if weights.device.type == "cpu" and has_onednn and available:
        _fuse_children(net)
    return net


class FusedConv(nn.Module):
    """A convolution, then an optional sum with ``other``, then an optional ReLU, in one call."""

    def __init__(self, conv: nn.Conv2d, relu: bool) -> None:
        super().__init__()
        self._geometry = [list(n) for n in (conv.padding, conv.stride, conv.dilation)] + [conv.groups]
        self.weight = conv.weight.detach()
        if conv.kernel_size == (1, 1):  # for larger kernels the fastest weight layout depends on the input's size
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


class FusedResidual(nn.Module):
    """A `ResidualBlock` whose last convolution adds the identity and applies ReLU itself."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        *self.before, self.last = _fused_chain(nn.Sequential(*block.first, *block.second, nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        features = x
        for layer in self.before:
            features = layer(features)
        out: Tensor = self.last(features, x)
        return out


def _fused_chain(layers: nn.Sequential) -> list[FusedConv]:
    """The convolutions of a sequence, each with the ReLU that follows it. Raises ValueError if it holds other layers."""
    for layer in layers:
        if not isinstance(layer, nn.Conv2d | nn.ReLU | nn.Identity):
            raise ValueError(f"a {type(layer).__name__} cannot be fused; `prepare_for_inference` folds batch norms")
    kept = [layer for layer in layers if not isinstance(layer, nn.Identity)]
    following = [*kept[1:], None]
    return [FusedConv(a, isinstance(b, nn.ReLU)) for a, b in zip(kept, following, strict=True) if isinstance(a, nn.Conv2d)]


def _fuse_children(net: nn.Module) -> None:
    for name, child in net.named_children():
        if isinstance(child, ResidualBlock):
            setattr(net, name, FusedResidual(child))
        elif isinstance(child, nn.Conv2d):
            setattr(net, name, FusedConv(child, False))
        elif isinstance(child, nn.Sequential) and len(child) and isinstance(child[0], nn.Conv2d):
            setattr(net, name, nn.Sequential(*_fused_chain(child)))
        else:
            _fuse_children(child)
