"""Fused networks give the same results at any size, in every number format."""

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
ROUNDING = {torch.float32: 3e-5, torch.bfloat16: 0.15}  # that the order of summation may cause, as a share of the values


def randomised(net: nn.Module) -> nn.Module:
    """Give batch norms, biases and a detector's heads random values, so that every layer matters to the output."""
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
    """Whether feature maps (N, C, H, W) vary within their channels and are equal up to rounding."""
    varies = before.float().std((2, 3)).mean()
    return bool(varies > 0.01 and ((before - after).abs() < ROUNDING[before.dtype] * (varies + before.abs())).all())


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("size", [(64, 96), (160, 64)])
@torch.inference_mode()
def test_a_fused_detector_gives_the_same_maps(dtype: torch.dtype, size: tuple[int, int]) -> None:
    net = fold_batch_norms(randomised(DetectorNet())).to(dtype=dtype, memory_format=torch.channels_last)
    fused = fuse_convolutions(copy.deepcopy(net))
    assert any(isinstance(m, FusedResidual) for m in fused.modules()) and not any(
        isinstance(m, nn.Conv2d) for m in fused.modules()
    )
    x = torch.randn(2, 3, *size).to(dtype=dtype, memory_format=torch.channels_last)
    assert all(same(before, after) for before, after in zip(net(x), fused(x), strict=True))


@pytest.mark.parametrize("dtype", FORMATS)
@torch.inference_mode()
def test_a_fused_verification_network_gives_the_same_features_for_any_batch_size(dtype: torch.dtype) -> None:
    net = fold_batch_norms(randomised(VerificationNet())).to(dtype=dtype, memory_format=torch.channels_last)
    fused = fuse_convolutions(copy.deepcopy(net))
    assert any(isinstance(m, FusedConv) for m in fused.modules())
    for count in (1, 7):
        x = torch.randn(count, 3, net.side, net.side).to(dtype=dtype, memory_format=torch.channels_last)
        assert same(net.body(x), fused.body(x))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("stem", [4, 6])
@torch.inference_mode()
def test_folded_input_scaling_gives_the_same_maps(dtype: torch.dtype, stem: int) -> None:
    net = fold_batch_norms(randomised(DetectorNet(stem=stem))).to(dtype)
    fused = accept_uint8(copy.deepcopy(net))
    picture = torch.randint(0, 256, (1, 3, 64, 64)).float()
    around = nn.functional.pad(picture, (fused.stem_padding,) * 4, value=127.5)
    maps = zip(net(((picture - 127.5) / 127.5).to(dtype)), fused(around.to(dtype)), strict=True)
    assert all(same(before, after) for before, after in maps)
