"""The cost of the networks: what is counted, and that every row is there."""

import pytest
import torch

from evaluation import network_speed
from models.networks.superres import SuperResNet


def test_multiply_adds_of_a_known_layer() -> None:
    parameters, gmac = network_speed.multiply_adds(torch.nn.Conv2d(3, 8, 3, padding=1, bias=False), 3, 100, 50)
    assert parameters == pytest.approx(3 * 8 * 9 / 1e6) and gmac == pytest.approx(3 * 8 * 9 * 100 * 50 / 1e9)


def test_every_network_has_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_speed, "FRAMES", ((96, 64),))
    monkeypatch.setattr(network_speed, "FRAMES_AT_ONCE", (1, 2))
    monkeypatch.setattr(network_speed, "ROUNDS", 1)
    limits, rows = network_speed.measure(torch.device("cpu"), 2, [])
    assert all(limit > 0 for limit in limits.values())
    usual, *int8 = limits.values()
    assert [row.network for row in rows] == ["superres"] * 3 + ["recognizer"] + ["detector"] * 2
    assert [row.batch for row in rows] == [2, 2, 2, 2, 1, 2]
    assert rows[0].parameters_m == pytest.approx(sum(p.numel() for p in SuperResNet().parameters()) / 1e6, abs=1e-3)
    for row in rows:
        most = int8[0] if int8 and row.network == "detector" else usual
        assert row.per_s > 0 and row.share == pytest.approx(row.gmac * row.per_s / most, rel=0.05, abs=1e-3)
