import pytest
import torch

from models.networks.recognizer import crop_view


@pytest.mark.parametrize("level", [16, 32, 64, 128])
def test_the_input_is_the_middle_of_the_chip_up_to_its_edges(level: int) -> None:
    ramp = torch.linspace(0.5, level - 0.5, level) / level  # where in the chip each pixel lies, 0..1
    across = crop_view(ramp.expand(1, 3, level, level), 64)[0, 0]
    places = 1 / 16 + (torch.arange(64) + 0.5) / 64 * 7 / 8
    assert torch.allclose(across, places.expand(64, 64), atol=0.15 / level if level < 128 else 0.006)
    assert torch.allclose(crop_view(ramp[:, None].expand(1, 3, level, level), 64)[0, 0], across.T, atol=1e-6)
