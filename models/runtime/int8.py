"""Small convolutional networks in 8-bit integers, on processors that multiply those (VNNI): half the time of bfloat16 and a
quarter of float32's.

Weights are whole numbers of a scale for each output channel, maps whole numbers 0..255 of one scale each: how far each map's
numbers reach was measured on training pictures and stands in the network's card (`training.detector.quantization`). The last
convolutions give floating-point numbers. Quantisation as in Jacob et al. 2018 (arXiv 1712.05877), without training for it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import HALF_RANGE, FpnJoin, ResidualBlock
from models.runtime.devices import folded, keep_big_buffers, processor_has

FLAGS = "avx512_vnni", "avx_vnni"  # of processors that multiply bytes four at a time
GREY = 128  # of a picture, is 0
SIZES = 8  # of maps, that weights are kept packed for
JOINED = {"join16": ("stages.1", "down16"), "join8": ("stages.0", "down8")}  # maps that are added up, so of one scale


class Map(NamedTuple):
    """A map (N, C, H, W), channels_last: its numbers are (values - zero) * scale."""

    values: Tensor
    scale: float
    zero: int = 0

    def floats(self) -> Tensor:
        return (self.values.float() - self.zero) * self.scale


def pays(device: torch.device) -> bool:
    """Whether networks run quicker in 8 bits on this device than in the number format of `runtime.number_format`."""
    known = hasattr(torch.ops.onednn, "qconv2d_pointwise") and torch.backends.mkldnn.is_available()
    return device.type == "cpu" and known and processor_has(*FLAGS)


def as_map(pictures: Tensor) -> Map:
    """Pictures of bytes (N, H, W, 3) as networks that look at [-1, 1] take them, half a grey level brighter."""
    return Map(pictures.permute(0, 3, 1, 2), 1 / HALF_RANGE, GREY)


def if_it_pays(net: nn.Module, card: dict[str, Any], device: torch.device) -> nn.Module | None:
    """The network `in_int8`, if its card tells the ranges of its maps and that `pays` on the device; else None, and the network
    as it was."""
    if "ranges" not in card or not pays(device):
        return None
    keep_big_buffers()
    return in_int8(folded(net.eval()), card["ranges"])


def in_int8(net: nn.Module, ranges: dict[str, float]) -> nn.Module:
    """The network, its batch norms folded, made to take a `Map`. Raises ValueError if ``ranges`` is not of this network."""
    try:
        _convert(net, "", ranges)
    except KeyError as error:
        raise ValueError(f"the card's ranges tell nothing of {error}") from None
    body = getattr(net, "body", None)
    if isinstance(body, nn.Sequential):
        body.append(Floats())
    return net


def watch(net: nn.Module) -> dict[str, float]:
    """Has the network, its batch norms folded, write down from now on the largest number of each map that `in_int8` needs."""
    largest: dict[str, float] = {}

    def keep(name: str, layer: nn.Module) -> None:
        def hook(_layer: nn.Module, _inputs: object, out: Tensor) -> None:
            largest[name] = max(largest.get(name, 0.0), float(out.max()))
            for prefix in JOINED.get(name, ()):
                last = [known for known in largest if known.startswith(prefix)][-1]
                largest[last] = largest[name] = max(largest[name], largest[last])

        layer.register_forward_hook(hook)

    for name, layer in _measured(net, ""):
        keep(name, layer)
    return largest


class Int8Conv(nn.Module):
    """A convolution of a `Map`, to whose result ``other`` may be added (which is written over): with ``largest`` the `Map` of it
    after ReLU, that reaches so far, else floats (N, C, H, W)."""

    def __init__(self, conv: nn.Conv2d, largest: float | None = None) -> None:
        super().__init__()
        weight = conv.weight.detach().float()
        self._scales = (weight.abs().amax((1, 2, 3)) / 127).clamp(min=1e-9)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        whole = (weight / self._scales[:, None, None, None]).round().to(torch.int8)
        self._geometry = [list(n) for n in (conv.stride, conv.padding, conv.dilation)] + [conv.groups]
        pack = functools.partial(torch.ops.onednn.qconv_prepack, whole, self._scales, 1.0, 0, *self._geometry)
        # Which order of weights is read quickest depends on the map's size: others are put into order anew in each call.
        self._packed = functools.lru_cache(SIZES)(lambda height, width: pack([1, conv.in_channels, height, width]))
        self._bias = None if conv.bias is None else conv.bias.detach().float()
        self._scale = 1.0 if largest is None else max(largest, 1e-6) / 255
        self._format, self._after = (torch.float32, "none") if largest is None else (torch.uint8, "relu")

    def forward(self, x: Map, other: Map | None = None) -> Map | Tensor:
        inputs = x.values, x.scale, x.zero, self._packed(*x.values.shape[2:]), self._scales, self._zeros
        call, out = torch.ops.onednn.qconv2d_pointwise, (self._scale, 0, self._format)
        if other is None:
            values = call(*inputs, self._bias, *self._geometry, *out, self._after, [], "")
        else:
            added = other.scale, other.zero, "sum", 1.0
            values = call.binary(*inputs, other.values, self._bias, *self._geometry, *out, *added, self._after, [], "")
        return values if self._format is torch.float32 else Map(values, self._scale)


class Int8Residual(nn.Module):
    def __init__(self, block: ResidualBlock, path: str, ranges: dict[str, float]) -> None:
        super().__init__()
        self.first = Int8Conv(block.first[0], ranges[f"{path}.first"])
        self.second = Int8Conv(block.second[0], ranges[path])

    def forward(self, x: Map) -> Map:
        out: Map = self.second(self.first(x), x)
        return out


class Int8Join(nn.Module):
    """`FpnJoin` of two maps of one scale; what is too large stays at the largest."""

    def forward(self, fine: Map, coarse: Map) -> Map:
        added = F.interpolate(coarse.values, scale_factor=2.0)
        return fine._replace(values=fine.values + torch.minimum(added, fine.values.bitwise_not()))


class Floats(nn.Module):
    def forward(self, x: Map) -> Tensor:
        return x.floats()


def _measured(net: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """What gives a network's maps, by name: sequences of a convolution and ReLU, residual blocks and sums."""
    for name, child in net.named_children():
        here = f"{path}{name}"
        if isinstance(child, ResidualBlock):
            yield f"{here}.first", child.first
        if isinstance(child, ResidualBlock | FpnJoin) or _is_conv(child):
            yield here, child
        else:
            yield from _measured(child, f"{here}.")


def _convert(net: nn.Module, path: str, ranges: dict[str, float]) -> None:
    for name, child in net.named_children():
        here = f"{path}{name}"
        if isinstance(child, ResidualBlock):
            setattr(net, name, Int8Residual(child, here, ranges))
        elif isinstance(child, FpnJoin):
            setattr(net, name, Int8Join())
        elif isinstance(child, nn.Conv2d):
            setattr(net, name, Int8Conv(child))
        elif _is_conv(child):
            setattr(net, name, Int8Conv(child[0], ranges[here]))
        else:
            _convert(child, f"{here}.", ranges)


def _is_conv(module: nn.Module) -> bool:
    """Whether it is a `conv`, whose batch norm is folded."""
    return isinstance(module, nn.Sequential) and len(module) > 0 and isinstance(module[0], nn.Conv2d)
