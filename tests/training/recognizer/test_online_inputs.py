"""The recogniser's views by the batch; the cameras themselves are tested in `test_batched`."""

import torch

from models.chip import LEVEL_MAX_SIDE
from models.networks.superres import SuperResNet
from training.recognizer.inputs import LARGEST, SMALLEST
from training.recognizer.online_inputs import SHARP_SHARE, SUPERRES_SHARE, Cameras


def cameras(restorer: torch.nn.Module | None = None) -> Cameras:
    return Cameras(64, torch.Generator().manual_seed(0), restorer)


@torch.no_grad()
def test_views_keep_the_order_of_faces_restored_or_not() -> None:
    levels = torch.tensor([30.0, 230.0]).repeat(40)
    faces = levels[:, None, None, None].expand(-1, 3, 128, 128)
    for restorer in (None, SuperResNet().eval()):  # untrained, it enlarges
        views = cameras(restorer).views(faces)
        assert views.shape == (80, 3, 64, 64) and views.min() >= -1.05 and views.max() <= 1.05
        means = views.mean((1, 2, 3))
        assert means[::2].max() < means[1::2].min()


def test_sizes_are_those_of_the_single_chips() -> None:
    maker = cameras(SuperResNet())
    levels = maker._levels(4000)
    assert abs(sum(levels) - SUPERRES_SHARE * 4000) <= 1 and levels[1] > 2 * levels[0] > 0
    sides = maker._sides(4000, levels)
    first, second, rest = sides.split([*levels, 4000 - sum(levels)])
    assert first.min() >= SMALLEST and first.max() <= LEVEL_MAX_SIDE[16] < second.min() and second.max() <= LEVEL_MAX_SIDE[32]
    assert abs(float((rest == 128).float().mean()) - SHARP_SHARE) < 0.03
    small = rest[rest < 128]
    assert small.min() == SMALLEST and small.max() <= LARGEST and 30 < small.float().median() < 42


@torch.no_grad()
def test_whole_faces_are_sometimes_seen_as_they_are() -> None:
    torch.manual_seed(0)
    faces = torch.rand(200, 3, 8, 8).mul(255).repeat_interleave(16, 2).repeat_interleave(16, 3)
    maker = cameras()
    canvas, sides = maker.degrade(faces, [0, 0])
    assert torch.equal(canvas, canvas.round()) and canvas.min() >= 0 and canvas.max() <= 255
    whole = canvas[sides == 128]
    colourless = ((whole - whole.mean(1, keepdim=True)).abs().amax((1, 2, 3)) < 1).float().mean()
    assert len(whole) > 20 and colourless < 0.3
