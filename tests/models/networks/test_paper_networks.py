"""The networks of the papers: sizes as published or counted on the released code, and what each part must do."""

import pytest
import torch
from torch import nn

from models.networks.iresnet import IResNet, build_stages, init_from_shallower, stage_features
from models.networks.pfsr import Critic, Generator, HeatMapNet, peaks
from models.networks.pkdn import Pkdn
from models.networks.superres import ENTRY_LEVELS, Attention, SuperResNet
from training.recognizer.feature_similarity import Hints


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_pfsr_has_the_papers_sizes() -> None:
    assert (count(Generator()), count(Critic()), count(HeatMapNet())) == (8_969_097, 8_065_537, 321_412)


@pytest.mark.parametrize(
    ("blocks", "student", "teacher"), [(2, 2_105_776, 2_384_293), (4, 3_147_880, 3_426_397), (6, 4_189_984, 4_468_501)]
)
def test_pkdn_has_the_sizes_of_its_reconstruction(blocks: int, student: int, teacher: int) -> None:
    assert count(Pkdn(blocks)) == student and count(Pkdn(blocks, regions=3, softmax=False)) == teacher
    assert count(Pkdn(blocks, regions=3)) > teacher  # and the softmax attention


@pytest.mark.parametrize("cbam", [False, True])
@torch.inference_mode()
def test_blocks_that_are_added_do_nothing_at_first(cbam: bool) -> None:
    less, grown = (nn.ModuleDict({"stages": build_stages(3, (16, 32), depths, cbam)}).eval() for depths in ((1, 2), (3, 2)))
    for module in less.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
    init_from_shallower(grown, less)
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(stage_features(grown["stages"], x)[-1], stage_features(less["stages"], x)[-1])
    with pytest.raises(ValueError, match=r"fewer blocks: stages\.0\.1"):
        init_from_shallower(less, grown)
    with pytest.raises(RuntimeError, match="size mismatch"):
        init_from_shallower(nn.ModuleDict({"stages": build_stages(3, (16, 48), (1, 2), cbam)}), less)


@pytest.mark.parametrize(("step", "side"), [(1, 32), (2, 64), (3, 128)])
@torch.inference_mode()
def test_pfsr_grows_step_by_step(step: int, side: int) -> None:
    generator, critic = Generator().eval(), Critic().eval()
    x = torch.rand(2, 3, 16, 16)
    whole = generator(x, step)
    assert whole.shape == (2, 3, side, side) and critic(whole, step).shape == (2, 1)
    if step > 1:  # not faded in at all: the step before, enlarged
        before = nn.functional.interpolate(generator(x, step - 1), scale_factor=2.0, mode="nearest")
        assert torch.allclose(generator(x, step, fade=0.0), before, atol=1e-5)


def test_heat_maps_have_the_pictures_size_and_their_peaks_are_found() -> None:
    assert HeatMapNet()(torch.rand(1, 3, 24, 24)).shape == (1, 68, 24, 24)
    maps = torch.zeros(1, 68, 24, 24)
    maps[0, :, 5, 9] = 1
    assert peaks(maps)[0, 3].tolist() == [9.5, 5.5]


@pytest.mark.parametrize("make", [lambda: Pkdn(2, regions=6), lambda: SuperResNet(regions=6)])
@torch.inference_mode()
def test_a_teacher_looks_at_the_parsing_map(make) -> None:  # type: ignore[no-untyped-def]
    net = make().eval()
    for head in (net.tail,) if isinstance(net, Pkdn) else [h[0] for h in net.to_rgb.values()]:
        nn.init.normal_(head.weight, std=0.1)
    for fusion in net.fusions:  # they begin without a say
        nn.init.normal_(fusion.out.weight, std=0.1)
    x = torch.rand(1, 3, 128 if isinstance(net, Pkdn) else 16, 128 if isinstance(net, Pkdn) else 16)
    (one,), seen = net.with_features(x, torch.zeros(1, 6, 128, 128))
    (other,), _ = net.with_features(x, torch.ones(1, 6, 128, 128))
    assert one.shape == (1, 3, 128, 128) and float((one - other).abs().max()) > 1e-3
    assert len(seen) == (7 if isinstance(net, Pkdn) else 3)


@torch.inference_mode()
def test_an_untrained_student_is_bicubic_and_small_enough() -> None:
    net = SuperResNet().eval()
    assert count(net) < 3_000_000
    for side in ENTRY_LEVELS:
        x = torch.rand(2, 3, side, side)
        assert torch.allclose(net(x), nn.functional.interpolate(x, (128, 128), mode="bicubic"), atol=1e-5)
        pictures, _ = net.train().with_features(x)
        assert [p.shape[-1] for p in pictures] == [s for s in (32, 64, 128) if s > side]
        net.eval()


@torch.inference_mode()
def test_self_attention_tells_each_place_of_all_others_once_it_has_learnt_to() -> None:
    layer, x = Attention(16), torch.rand(2, 16, 8, 8)
    assert torch.equal(layer(x), x)
    nn.init.normal_(layer.out.weight)
    other = x.clone()
    other[:, :, 0, 0] += 5
    told = (layer(other) - layer(x))[:, :, 7, 7]
    assert float(told.abs().max()) > 1e-3
    attentions = [type(part).__name__ for part in SuperResNet(depths=(4, 1, 1), attentions=2).steps[0]]
    assert attentions == [
        "PlainResidualBlock",
        "PlainResidualBlock",
        "Attention",
        "PlainResidualBlock",
        "PlainResidualBlock",
        "Attention",
    ]


IRESNET_SIZES = [
    (18, False, True, 11_177_984),
    (18, False, False, 24_025_600),
    (18, True, True, 11_267_864),
    (18, True, False, 24_115_480),
    (50, False, True, 30_743_232),
    (50, False, False, 43_590_848),
    (50, True, True, 30_974_540),
    (50, True, False, 43_822_156),
]


@pytest.mark.parametrize(("depth", "cbam", "pooled", "size"), IRESNET_SIZES)
def test_iresnet_has_the_sizes_of_fskd(depth: int, cbam: bool, pooled: bool, size: int) -> None:
    assert count(IResNet(depth, cbam, pooled)) == size


@torch.inference_mode()
def test_iresnet_shows_its_stages() -> None:
    embedding, seen = IResNet(18, cbam=True).eval().with_features(torch.rand(1, 3, 112, 112))
    assert embedding.shape == (1, 512)
    assert [tuple(f.shape[1:]) for f in seen] == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]
    assert count(Hints((64, 128, 256, 512), (64, 128, 256, 512))) == 43_940_928 - 43_590_848
