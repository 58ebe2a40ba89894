"""Small convolutional networks in int8, for CPUs with VNNI: half the time of bfloat16, a quarter of float32's.

Weights are int8 with per-channel scales. Feature maps are uint8 with one scale each, whose range was measured on training images
and stands in the network's card (`training.detector.quantization`). The last convolutions give float32. Post-training
quantisation as in Jacob et al. 2018 (arXiv 1712.05877).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks import HALF_RANGE, FpnJoin, ResidualBlock
from models.runtime.devices import cpu_has_any, fold_batch_norms, keep_freed_memory

VNNI_FLAGS = "avx512_vnni", "avx_vnni"
ZERO_POINT = 128  # of images: the grey level that stands for 0
PACKED_SIZES = 8  # feature map sizes for which weights are kept packed
# Feature maps that are added, so they share one scale: join -> prefixes of the maps that enter it.
SHARED_SCALES = {"join16": ("stages.1", "down16"), "join8": ("stages.0", "down8")}


class QuantizedMap(NamedTuple):
    """A quantised feature map: its real values are (values - zero) * scale.

    ``values`` uint8 (N, C, H, W), channels_last; ``zero`` is the zero point.
    """

    values: Tensor
    scale: float
    zero: int = 0

    def floats(self) -> Tensor:
        """The real values as float32 (N, C, H, W)."""
        return (self.values.float() - self.zero) * self.scale


def int8_is_faster(device: torch.device) -> bool:
    """Whether int8 is faster on this device than `compute_dtype`: a CPU with VNNI, and a torch with oneDNN's int8 operations."""
    has_onednn = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    return device.type == "cpu" and has_onednn and hasattr(torch.ops.onednn, "qconv2d_pointwise") and cpu_has_any(*VNNI_FLAGS)


def quantize_images(images: Tensor) -> QuantizedMap:
    """Images uint8 (N, H, W, 3) as input of networks that take [-1, 1]. They are offset by half a grey level."""
    return QuantizedMap(images.permute(0, 3, 1, 2), 1 / HALF_RANGE, ZERO_POINT)


def to_int8_where_faster(net: nn.Module, card: dict[str, Any], device: torch.device) -> nn.Module | None:
    """Convert a network to int8 if its card holds ``ranges`` and `int8_is_faster` on the device.

    Returns:
        The converted network, which takes a `QuantizedMap`; or None, and the network is unchanged.
    """
    if "ranges" not in card or not int8_is_faster(device):
        return None
    keep_freed_memory()
    return convert_to_int8(fold_batch_norms(net.eval()), card["ranges"])


def convert_to_int8(net: nn.Module, ranges: dict[str, float]) -> nn.Module:
    """Make a network compute in int8, in place.

    Args:
        net: a network with its batch norms folded.
        ranges: the largest value of each feature map, as `record_ranges` measures. Smaller values give finer steps and cut more.

    Returns:
        The same network. It takes a `QuantizedMap` and can be neither copied nor pickled.

    Raises:
        ValueError: if ``ranges`` belongs to another network.
    """
    try:
        _convert(net, "", ranges)
    except KeyError as error:
        raise ValueError(f"the card's ranges lack {error}; they belong to another network") from None
    body = getattr(net, "body", None)
    if isinstance(body, nn.Sequential):
        body.append(Dequantize())
    return net


def record_ranges(net: nn.Module) -> dict[str, float]:
    """Record the largest value of each feature map from now on, whenever the network runs.

    Args:
        net: a network with its batch norms folded.

    Returns:
        A dictionary that fills as the network runs: what `convert_to_int8` needs.
    """
    ranges: dict[str, float] = {}

    def observe(name: str, layer: nn.Module) -> None:
        def hook(_layer: nn.Module, _inputs: object, out: Tensor) -> None:
            ranges[name] = max(ranges.get(name, 0.0), float(out.max()))
            for prefix in SHARED_SCALES.get(name, ()):
                last = [known for known in ranges if known.startswith(prefix)][-1]
                ranges[last] = ranges[name] = max(ranges[name], ranges[last])

        layer.register_forward_hook(hook)

    for name, layer in _quantized_layers(net, ""):
        observe(name, layer)
    return ranges


class Int8Conv(nn.Module):
    """An int8 convolution of a `QuantizedMap`, with an optional sum.

    Args:
        conv: the float convolution.
        max_value: the largest value of the result. With it, ReLU and requantisation follow and the result is a `QuantizedMap`;
            without, the result is float32 (N, C, H, W).

    ``forward`` adds ``other`` to the result, in the memory of ``other``.
    """

    def __init__(self, conv: nn.Conv2d, max_value: float | None = None) -> None:
        super().__init__()
        weight = conv.weight.detach().float()
        self._scales = (weight.abs().amax((1, 2, 3)) / 127).clamp(min=1e-9)
        self._zeros = torch.zeros(len(weight), dtype=torch.int32)
        quantized = (weight / self._scales[:, None, None, None]).round().to(torch.int8)
        self._geometry = [list(n) for n in (conv.stride, conv.padding, conv.dilation)] + [conv.groups]
        pack = functools.partial(torch.ops.onednn.qconv_prepack, quantized, self._scales, 1.0, 0, *self._geometry)
        # The fastest weight layout depends on the size of the map; another one is repacked in every call.
        self._packed = functools.lru_cache(PACKED_SIZES)(lambda height, width: pack([1, conv.in_channels, height, width]))
        self._bias = None if conv.bias is None else conv.bias.detach().float()
        self._scale = 1.0 if max_value is None else max(max_value, 1e-6) / 255
        self._format, self._after = (torch.float32, "none") if max_value is None else (torch.uint8, "relu")

    def forward(self, x: QuantizedMap, other: QuantizedMap | None = None) -> QuantizedMap | Tensor:
        inputs = x.values, x.scale, x.zero, self._packed(*x.values.shape[2:]), self._scales, self._zeros
        call, out = torch.ops.onednn.qconv2d_pointwise, (self._scale, 0, self._format)
        if other is None:
            values = call(*inputs, self._bias, *self._geometry, *out, self._after, [], "")
        else:
            added = other.scale, other.zero, "sum", 1.0
            values = call.binary(*inputs, other.values, self._bias, *self._geometry, *out, *added, self._after, [], "")
        return values if self._format is torch.float32 else QuantizedMap(values, self._scale)


class Int8Residual(nn.Module):
    """`ResidualBlock` in int8; ``path`` is its name in the network, by which ``ranges`` knows it."""

    def __init__(self, block: ResidualBlock, path: str, ranges: dict[str, float]) -> None:
        super().__init__()
        first: Any = block.first[0]
        second: Any = block.second[0]
        self.first = Int8Conv(first, ranges[f"{path}.first"])
        self.second = Int8Conv(second, ranges[path])

    def forward(self, x: QuantizedMap) -> QuantizedMap:
        out: QuantizedMap = self.second(self.first(x), x)
        return out


class Int8FpnJoin(nn.Module):
    """`FpnJoin` of two maps of one scale; the sum saturates at 255."""

    def forward(self, fine: QuantizedMap, coarse: QuantizedMap) -> QuantizedMap:
        added = F.interpolate(coarse.values, scale_factor=2.0)
        return fine._replace(values=fine.values + torch.minimum(added, fine.values.bitwise_not()))


class Dequantize(nn.Module):
    """A `QuantizedMap` as float32."""

    def forward(self, x: QuantizedMap) -> Tensor:
        return x.floats()


def _quantized_layers(net: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """The layers whose outputs are quantised, by name: convolutions with ReLU, residual blocks and FPN joins."""
    for name, child in net.named_children():
        here = f"{path}{name}"
        if isinstance(child, ResidualBlock):
            yield f"{here}.first", child.first
        if isinstance(child, ResidualBlock | FpnJoin) or _is_conv(child):
            yield here, child
        else:
            yield from _quantized_layers(child, f"{here}.")


def _convert(net: nn.Module, path: str, ranges: dict[str, float]) -> None:
    for name, child in net.named_children():
        here = f"{path}{name}"
        if isinstance(child, ResidualBlock):
            setattr(net, name, Int8Residual(child, here, ranges))
        elif isinstance(child, FpnJoin):
            setattr(net, name, Int8FpnJoin())
        elif isinstance(child, nn.Conv2d):
            setattr(net, name, Int8Conv(child))
        elif _is_conv(child):
            conv: Any = child[0]
            setattr(net, name, Int8Conv(conv, ranges[here]))
        else:
            _convert(child, f"{here}.", ranges)


def _is_conv(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """Whether it is a `conv_bn_relu`."""
    return isinstance(module, nn.Sequential) and len(module) > 0 and isinstance(module[0], nn.Conv2d)
