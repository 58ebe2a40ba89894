"""The detector's training."""

import copy

import torch
from torch import nn

from models.networks.detector import DetectorNet
from training.detector.train import steady


def test_batch_norms_that_keep_their_statistics_give_the_same_maps_and_still_learn() -> None:
    torch.manual_seed(0)
    net = DetectorNet().eval()
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    before = copy.deepcopy(net.state_dict())
    pictures = torch.randn(2, 3, 64, 64)
    wanted = [values.detach() for values in net(pictures)]
    quick = steady(copy.deepcopy(net)).train()
    found = quick(pictures)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    sum(values.square().mean() for values in found).backward()
    assert all(parameter.grad is not None for parameter in quick.parameters())
    assert list(quick.state_dict()) == list(before) and all(torch.equal(before[k], v) for k, v in quick.state_dict().items())
