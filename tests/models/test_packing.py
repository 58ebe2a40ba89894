"""Packed networks give what they gave before, at any size, in whatever number format."""

import copy

import pytest
import torch
from torch import nn

from models.detector import DetectorNet, Separable, fed_bytes
from models.packing import PackedConv, PackedResidual, packed
from models.rescoring import RescoreNet
from models.runtime import _folded


def lively(net: nn.Module) -> nn.Module:
    """A network in evaluation whose batch norms do something, and its biases."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.2)
    return net.eval()


@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("size", [(64, 96), (160, 32)])
@torch.inference_mode()
def test_a_packed_detector_tells_the_same(separable: bool, size: tuple[int, int]) -> None:
    net = _folded(lively(DetectorNet(separable=separable))).to(memory_format=torch.channels_last)
    own = packed(copy.deepcopy(net))
    assert any(isinstance(m, PackedResidual) for m in own.modules()) and not any(isinstance(m, nn.Conv2d) for m in own.modules())
    x = torch.randn(2, 3, *size).contiguous(memory_format=torch.channels_last)
    for before, after in zip(net(x), own(x), strict=True):
        assert torch.allclose(before, after, atol=1e-4) and before.std() > 0


@torch.inference_mode()
def test_a_packed_second_look_tells_the_same_of_any_number() -> None:
    net = _folded(lively(RescoreNet()))
    own = packed(copy.deepcopy(net))
    assert any(isinstance(m, PackedConv) for m in own.modules())
    for count in (1, 7):
        x = torch.randn(count, 3, net.side, net.side)
        assert torch.allclose(net.body(x), own.body(x), atol=1e-4)


@pytest.mark.parametrize("stem", [4, 6])
@torch.inference_mode()
def test_a_network_fed_bytes_sees_the_same(stem: int) -> None:
    net = _folded(lively(DetectorNet(stem=stem)))
    own = fed_bytes(copy.deepcopy(net))
    picture = torch.randint(0, 256, (1, 3, 64, 64)).float()
    around = nn.functional.pad(picture, (own.around,) * 4, value=127.5)
    for before, after in zip(net((picture - 127.5) / 127.5), own(around), strict=True):
        assert torch.allclose(before, after, atol=1e-3)


def test_a_gpu_gets_the_product_of_a_separable_convolution() -> None:
    layer = lively(Separable(8, 16, 2))
    each, across, *rest = layer
    x = torch.randn(2, 8, 20, 20)
    dense = nn.functional.conv2d(x, across.weight * each.weight.transpose(0, 1), None, each.stride, each.padding)
    for following in rest:
        dense = following(dense)
    assert torch.allclose(dense, layer(x), atol=1e-5)
