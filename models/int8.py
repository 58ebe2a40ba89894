"""Small convolutional networks in 8-bit integers, on processors that multiply those (VNNI): half the time of bfloat16 and a
quarter of float32's.

Weights are whole numbers of a scale for each output channel, maps whole numbers 0..255 of one scale each: how far each map's
numbers reach was measured on training pictures and stands in the network's card (`training.ranges`). The last convolutions give
floating-point numbers. Quantisation as in Jacob et al. 2018 (arXiv 1712.05877), without training for it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.detector import HALF_RANGE, Join, Residual

FLAGS = "avx512_vnni", "avx_vnni"  # of processors that multiply bytes four at a time
SIGNED_ZERO = 128  # stands for 0 in maps that no ReLU has cut
SIZES = 8  # of maps, that weights are kept packed for
JOINED = {"join16": ("stages.1", "down16"), "join8": ("stages.0", "down8")}  # maps that are added up, so of one scale


class Map(NamedTuple):
    """A map (N, C, H, W), channels_last: its numbers are (values - zero) * scale."""

    values: Tensor
    scale: float
    zero: int

    def floats(self) -> Tensor:
        return (self.values.float() - self.zero) * self.scale


def pays(device: torch.device) -> bool:
    """Whether networks run quicker in 8 bits on this device than in the number format of `runtime.number_format`."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    known = hasattr(torch.ops.onednn, "qconv2d_pointwise") and torch.backends.mkldnn.is_available()
    return device.type == "cpu" and known and any(flag in flags for flag in FLAGS)


def as_map(pictures: Tensor) -> Map:
    """Pictures of bytes (N, H, W, 3) as networks that look at [-1, 1] take them, half a grey level brighter."""
    return Map(pictures.permute(0, 3, 1, 2), 1 / HALF_RANGE, SIGNED_ZERO)


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
            largest[name] = max(largest.get(name, 0.0), float(out.abs().max()))
            for prefix in JOINED.get(name, ()):
                last = [known for known in largest if known.startswith(prefix)][-1]
                largest[last] = largest[name] = max(largest[name], largest[last])

        layer.register_forward_hook(hook)

    for name, layer in _measured(net, ""):
        keep(name, layer)
    return largest


class Int8Conv(nn.Module):
    """A convolution whose result, to which ``other`` may be added, goes through ReLU if told so: 8 bits in, and 8 bits out with
    ``largest`` as the largest number, or floats (N, C, H, W) without. What is added is written over."""

    def __init__(self, conv: nn.Conv2d, relu: bool = False, largest: float | None = None) -> None:
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
        self._after = "relu" if relu else "none"
        self._zero = 0 if relu or largest is None else SIGNED_ZERO
        self._scale = 1.0 if largest is None else max(largest, 1e-6) / (255 - self._zero)
        self._format = torch.float32 if largest is None else torch.uint8

    def forward(self, x: Map, other: Map | None = None) -> Map | Tensor:
        inputs = x.values, x.scale, x.zero, self._packed(*x.values.shape[2:]), self._scales, self._zeros
        call, out = torch.ops.onednn.qconv2d_pointwise, (self._scale, self._zero, self._format)
        if other is None:
            values = call(*inputs, self._bias, *self._geometry, *out, self._after, [], "")
        else:
            added = other.scale, other.zero, "sum", 1.0
            values = call.binary(*inputs, other.values, self._bias, *self._geometry, *out, *added, self._after, [], "")
        return values if self._format is torch.float32 else Map(values, self._scale, self._zero)


class Int8Residual(nn.Module):
    def __init__(self, block: Residual, path: str, ranges: dict[str, float]) -> None:
        super().__init__()
        self.before = _chain(block.first, f"{path}.first", ranges)
        *also, (name, last, _) = _convs(block.second)
        self.before.extend(Int8Conv(conv, False, ranges[f"{path}.second.{each}"]) for each, conv, _ in also)
        self.last = Int8Conv(last, True, ranges[f"{path}.second.{name}"])

    def forward(self, x: Map) -> Map:
        out: Map = self.last(self.before(x), x)
        return out


class Int8Join(nn.Module):
    """`Join` of two maps of one scale; what is too large stays at the largest."""

    def forward(self, fine: Map, coarse: Map) -> Map:
        added = F.interpolate(coarse.values, scale_factor=2.0)
        return fine._replace(values=fine.values + torch.minimum(added, fine.values.bitwise_not()))


class Floats(nn.Module):
    def forward(self, x: Map) -> Tensor:
        return x.floats()


def _convs(layers: nn.Sequential) -> list[tuple[str, nn.Conv2d, nn.ReLU | None]]:
    """The convolutions of a sequence by name, and the ReLU that follows, if one does; batch norms are folded away."""
    kept = [(name, layer) for name, layer in layers.named_children() if not isinstance(layer, nn.Identity)]
    following: Iterator[nn.Module | None] = iter([layer for _, layer in kept[1:]] + [None])
    return [
        (name, layer, after if isinstance(after, nn.ReLU) else None)
        for (name, layer), after in zip(kept, following, strict=True)
        if isinstance(layer, nn.Conv2d)
    ]


def _measured(net: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers that give a network's maps, by the name of the convolution or sum: the ReLU after it, if one follows."""
    for name, child in net.named_children():
        here = f"{path}{name}"
        if isinstance(child, Residual):
            *also, (last, _, _) = _convs(child.second)
            yield from ((f"{here}.first.{each}", after or conv) for each, conv, after in _convs(child.first))
            yield from ((f"{here}.second.{each}", conv) for each, conv, _ in also)
            yield f"{here}.second.{last}", child
        elif isinstance(child, Join):
            yield here, child
        elif isinstance(child, nn.Sequential) and len(child) and isinstance(child[0], nn.Conv2d):
            yield from ((f"{here}.{each}", after or conv) for each, conv, after in _convs(child))
        else:
            yield from _measured(child, f"{here}.")


def _chain(layers: nn.Sequential, path: str, ranges: dict[str, float]) -> nn.Sequential:
    return nn.Sequential(*(Int8Conv(conv, bool(after), ranges[f"{path}.{name}"]) for name, conv, after in _convs(layers)))


def _convert(net: nn.Module, path: str, ranges: dict[str, float]) -> None:
    for name, child in net.named_children():
        here = f"{path}{name}"
        if isinstance(child, Residual):
            setattr(net, name, Int8Residual(child, here, ranges))
        elif isinstance(child, Join):
            setattr(net, name, Int8Join())
        elif isinstance(child, nn.Conv2d):
            setattr(net, name, Int8Conv(child))
        elif isinstance(child, nn.Sequential) and len(child) and isinstance(child[0], nn.Conv2d):
            setattr(net, name, _chain(child, here, ranges))
        else:
            _convert(child, f"{here}.", ranges)
