from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.chip import level_for_side
from training.common.degradations import bicubic
from training.data.chips import load_chips
from training.data.priors import parsing_maps
from training.superres.inputs import CLEAN_SHARE, PairMaker, side_range
from training.superres.train import within


@pytest.fixture(scope="module")
def chips(data: Path):  # type: ignore[no-untyped-def]
    return load_chips(data, data)


@pytest.mark.parametrize("level", [16, 32, 64])
def test_sides_are_those_that_the_pipeline_cuts_at_a_level(level: int) -> None:
    least, most = side_range(level)
    assert (
        level_for_side(least) == level_for_side(most) == level
        and level_for_side(most + 1) > level
        and (least == 10 or level_for_side(least - 1) < level)
    )


@pytest.mark.parametrize("level", [16, 32, 64])
def test_super_resolved_clean_chips_are_nearer_to_the_sharp_face_than_degraded_ones(chips, level: int) -> None:  # type: ignore[no-untyped-def]
    found = PairMaker(chips, np.arange(24), "cpu", parsing=True).draw(level, 20, seed=1)
    assert found.low.shape == (20, 3, level, level) and found.sharp.shape == (20, 3, 128, 128)
    for part in (found.low, found.sharp, found.parsing):
        assert part is not None and part.min() >= 0 and part.max() <= 1
    large = torch.nn.functional.interpolate(found.low, (128, 128), mode="bicubic")
    error = (large - found.sharp).abs().mean((1, 2, 3))
    clean = round(CLEAN_SHARE * 20)
    assert error[:clean].mean() < error[clean:].mean()
    assert torch.equal(found.low, PairMaker(chips, np.arange(24), "cpu", parsing=False).draw(level, 20, seed=1).low)


def test_landmarks_and_maps_stay_on_their_face(chips) -> None:  # type: ignore[no-untyped-def]
    found = PairMaker(chips, np.arange(24), "cpu", parsing=True).draw(16, 20, seed=2)
    assert found.parsing is not None
    drawn = torch.nn.functional.avg_pool2d(parsing_maps(found.points.numpy()).float() / 255, 2)
    assert float((drawn - found.parsing).abs().mean()) < 0.01 < float((drawn.flip(0) - found.parsing).abs().mean())


def test_inputs_without_augmentation_are_the_chips_themselves(chips) -> None:  # type: ignore[no-untyped-def]
    found = PairMaker(chips, np.array([5]), "cpu", parsing=False, plain=True).draw(16, 6, seed=0)
    chip = np.ascontiguousarray(chips.images[5])
    as_is, mirrored = (torch.from_numpy(c.copy()).permute(2, 0, 1) / 255 for c in (chip, chip[:, ::-1]))
    assert all(torch.equal(one, as_is) or torch.equal(one, mirrored) for one in found.sharp)
    assert found.points.shape == (6, 68, 2) and found.parsing is None
    small = torch.from_numpy(bicubic(chip, 16, np.random.default_rng(0))).permute(2, 0, 1) / 255
    kept = next(low for low, sharp in zip(found.low, found.sharp, strict=True) if torch.equal(sharp, as_is))
    assert float((kept - small).abs().max()) < 1.5 / 255


def test_pixels_outside_the_source_picture_have_no_loss(chips) -> None:  # type: ignore[no-untyped-def]
    edges = np.zeros((len(chips.images), 4, 2), np.float32)
    edges[5] = [[-9, 40], [137, 40], [137, 137], [-9, 137]]
    given = PairMaker(replace(chips, edges=edges), np.array([5]), "cpu", parsing=False).draw(16, 4, seed=0)
    assert not given.inside[:, :, :30].any() and given.inside[:, :, 50:].all()
    for side in (32, 64, 128):
        restored = within(torch.full((4, 3, side, side), 0.5), given)
        error = (restored - torch.nn.functional.avg_pool2d(given.sharp, 128 // side)).abs().mean((1, 3))
        assert error[:, : side // 5].max() == 0 < error[:, side // 2 :].min()


def test_a_chip_that_its_picture_covers_is_inside_throughout(chips) -> None:  # type: ignore[no-untyped-def]
    assert PairMaker(chips, np.arange(24), "cpu", parsing=False).draw(16, 4, seed=0).inside.all()
