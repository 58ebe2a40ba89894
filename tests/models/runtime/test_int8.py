"""Int8 networks give nearly the same results as float ones, at any size."""

import copy

import pytest
import torch
from torch import nn

from models.networks.detector import DetectorNet
from models.networks.landmarks import LandmarkNet
from models.networks.verification import VerificationNet
from models.runtime.devices import fold_batch_norms
from models.runtime.int8 import (
    Int8Conv,
    Int8FpnJoin,
    QuantizedMap,
    convert_to_int8,
    int8_is_faster,
    quantize_images,
    record_ranges,
)
from tests.models.runtime.test_fused import randomised

CPU = torch.device("cpu")
pytestmark = pytest.mark.skipif(not int8_is_faster(CPU), reason="the processor does not multiply bytes")


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    """Smooth random images uint8 (N, H, W, 3)."""
    coarse = torch.rand(count, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(height))
    fine = nn.functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 1)
    return (fine * 255).byte().permute(0, 2, 3, 1).contiguous()


def floats(shown: torch.Tensor) -> torch.Tensor:
    return ((shown.permute(0, 3, 1, 2).float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def alike(before: torch.Tensor, after: torch.Tensor) -> bool:
    """Whether values vary and differ on average by less than a tenth of their standard deviation."""
    varies = before.std()
    return bool(varies > 0.01 and (before - after).abs().mean() < 0.1 * varies)


@torch.inference_mode()
def test_an_int8_detector_gives_nearly_the_same_maps_at_any_size() -> None:
    net = fold_batch_norms(randomised(DetectorNet()))
    largest = record_ranges(watched := copy.deepcopy(net))
    for size in ((64, 96), (160, 64)):
        watched(floats(pictures(2, *size)))
    converted = convert_to_int8(copy.deepcopy(net), largest)
    assert not any(isinstance(module, nn.Conv2d) for module in converted.modules())
    for size in ((64, 96), (160, 64), (64, 96)):
        shown = pictures(2, *size)
        for before, after in zip(net.folded_maps(floats(shown)), converted.folded_maps(quantize_images(shown)), strict=True):
            assert before.shape == after.shape and alike(before, after)


@pytest.mark.parametrize("network", [VerificationNet, LandmarkNet])
@torch.inference_mode()
def test_int8_verification_and_landmarks_stay_close_for_any_batch_size(network: type[nn.Module]) -> None:
    net = fold_batch_norms(randomised(network()))
    nn.init.normal_(net.head.weight)
    side = 48 if network is LandmarkNet else net.side
    largest = record_ranges(watched := copy.deepcopy(net))
    watched.body(floats(pictures(9, side, side)))
    converted = convert_to_int8(copy.deepcopy(net), largest)
    for count in (1, 9):
        shown = pictures(9, side, side)[:count]
        more = () if network is LandmarkNet else (torch.randn(count), torch.randn(count))
        assert torch.isfinite(converted(quantize_images(shown), *more)).all()
        assert alike(net.body(floats(shown)), converted.body(quantize_images(shown)))


@torch.inference_mode()
def test_int8_values_out_of_range_saturate() -> None:
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(conv.weight, 1.0)
    out = Int8Conv(conv, max_value=1.0)(QuantizedMap(torch.tensor([[[[0, 50, 255]]]], dtype=torch.uint8), 0.01))
    assert out.floats().flatten().tolist() == pytest.approx([0.0, 0.5, 1.0], abs=0.003)
    fine = QuantizedMap(torch.full((1, 1, 2, 2), 200, dtype=torch.uint8), 0.1)
    coarse = QuantizedMap(torch.tensor([[[[100]]]], dtype=torch.uint8), 0.1)
    assert Int8FpnJoin()(fine, coarse).values.unique().tolist() == [255]


def test_ranges_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="ranges lack 'stem'"):
        convert_to_int8(fold_batch_norms(DetectorNet().eval()), {"body": 1.0})
