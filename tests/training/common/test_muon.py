import copy

import pytest
import torch
from torch import nn

from training.common.muon import Muon


def net() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(), nn.Conv2d(8, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 4))
    return made.to(memory_format=torch.channels_last)


def learn(model: nn.Module, optimizer: object, steps: int) -> float:
    x = torch.randn(16, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)
    for _ in range(steps):
        loss = (model(x) - x.flatten(1)[:, :4]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return float(loss.detach())


def test_it_trains_every_parameter_and_goes_on_where_it_was() -> None:
    model = net()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = Muon(model.parameters(), 1e-2, 0.0, (0.9, 0.99))
    first = learn(model, optimizer, 1)
    learn(model, optimizer, 20)
    assert all(not torch.equal(before[name], p) for name, p in model.named_parameters())
    twin = net()
    twin.load_state_dict(model.state_dict())
    resumed = Muon(twin.parameters(), 1e-2, 0.0, (0.9, 0.99))
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as a file does; else the two share their momentum
    assert learn(model, optimizer, 30) == pytest.approx(learn(twin, resumed, 30), rel=1e-5)
    assert learn(model, optimizer, 1) < 0.2 * first


def test_the_learning_rate_of_both_parts_is_set_from_outside() -> None:
    model = net()
    optimizer = Muon(model.parameters(), 1e-2, 0.0, (0.9, 0.99))
    before = [p.detach().clone() for p in model.parameters()]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    learn(model, optimizer, 2)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("shape", [(6, 9), (9, 6), (4, 3, 3, 3)])
def test_it_steps_as_torch_does_with_matrices(shape: tuple[int, ...]) -> None:
    mine = nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    oracle = nn.Parameter(mine.detach().flatten(1).clone())
    ours = Muon([mine, nn.Parameter(torch.zeros(1))], 0.1, 0.5, (0.9, 0.99))
    theirs = torch.optim.Muon([oracle], lr=0.1, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        gradient = torch.randn(shape, generator=torch.Generator().manual_seed(step))
        mine.grad, oracle.grad = gradient, gradient.flatten(1)
        ours.step()
        theirs.step()
    assert torch.allclose(mine.detach().flatten(1), oracle, atol=5e-3)
