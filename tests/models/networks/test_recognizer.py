import pytest
import torch

from models.networks.recognizer import crop_view


@pytest.mark.parametrize("rung", [16, 32, 64, 128])
def test_its_view_is_the_middle_of_the_chip_out_to_the_edges(rung: int) -> None:
    ramp = torch.linspace(0.5, rung - 0.5, rung) / rung  # where in the chip each pixel lies, 0..1
    across = crop_view(ramp.expand(1, 3, rung, rung), 64)[0, 0]
    places = 1 / 16 + (torch.arange(64) + 0.5) / 64 * 7 / 8
    assert torch.allclose(across, places.expand(64, 64), atol=0.15 / rung if rung < 128 else 0.006)
    assert torch.allclose(crop_view(ramp[:, None].expand(1, 3, rung, rung), 64)[0, 0], across.T, atol=1e-6)
