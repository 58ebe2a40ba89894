"""Packed networks give what they gave before, at any size, in whatever number format."""

import copy

import pytest
import torch
from torch import nn

from models.networks.detector import DetectorNet, accept_uint8
from models.networks.verification import VerificationNet
from models.runtime.devices import compute_dtype, fold_batch_norms
from models.runtime.fused import FusedConv, FusedResidual, fuse_convolutions

FORMATS = [
    torch.float32,
    pytest.param(
        torch.bfloat16,
        marks=pytest.mark.skipif(compute_dtype("cpu")[0] is not torch.bfloat16, reason="the processor has no bfloat16"),
    ),
]
ROUNDING = {torch.float32: 3e-5, torch.bfloat16: 0.15}  # what two orders of summing may differ by, as a share of what is summed


def lively(net: nn.Module) -> nn.Module:
    """A network in evaluation whose batch norms do something, and its biases; whose maps do not fade from layer to layer, and a
    detector's heads, which begin all but constant, neither."""
    torch.manual_seed(0)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.05, 0.2)
            module.bias.data.uniform_(-0.2, 0.2)
    for head in getattr(net, "heads", ()):
        nn.init.normal_(head.weight, std=0.5)
        nn.init.zeros_(head.bias)
    return net.eval()


def same(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether maps (N, C, H, W) that vary from place to place within their channels are alike up to rounding."""
    varies = before.float().std((2, 3)).mean()
    return bool(varies > 0.01 and ((before - after).abs() < ROUNDING[before.dtype] * (varies + before.abs())).all())


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("size", [(64, 96), (160, 64)])
@torch.inference_mode()
def test_a_packed_detector_tells_the_same(dtype: torch.dtype, size: tuple[int, int]) -> None:
    net = fold_batch_norms(lively(DetectorNet())).to(dtype=dtype, memory_format=torch.channels_last)
    own = fuse_convolutions(copy.deepcopy(net))
    assert any(isinstance(m, FusedResidual) for m in own.modules()) and not any(isinstance(m, nn.Conv2d) for m in own.modules())
    x = torch.randn(2, 3, *size).to(dtype=dtype, memory_format=torch.channels_last)
    assert all(same(before, after) for before, after in zip(net(x), own(x), strict=True))


@pytest.mark.parametrize("dtype", FORMATS)
@torch.inference_mode()
def test_a_packed_second_look_tells_the_same_of_any_number(dtype: torch.dtype) -> None:
    net = fold_batch_norms(lively(VerificationNet())).to(dtype=dtype, memory_format=torch.channels_last)
    own = fuse_convolutions(copy.deepcopy(net))
    assert any(isinstance(m, FusedConv) for m in own.modules())
    for count in (1, 7):
        x = torch.randn(count, 3, net.side, net.side).to(dtype=dtype, memory_format=torch.channels_last)
        assert same(net.body(x), own.body(x))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("stem", [4, 6])
@torch.inference_mode()
def test_a_network_fed_bytes_sees_the_same(dtype: torch.dtype, stem: int) -> None:
    net = fold_batch_norms(lively(DetectorNet(stem=stem))).to(dtype)
    own = accept_uint8(copy.deepcopy(net))
    picture = torch.randint(0, 256, (1, 3, 64, 64)).float()
    around = nn.functional.pad(picture, (own.stem_padding,) * 4, value=127.5)
    maps = zip(net(((picture - 127.5) / 127.5).to(dtype)), own(around.to(dtype)), strict=True)
    assert all(same(before, after) for before, after in maps)
