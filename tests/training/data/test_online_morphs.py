"""Faces of nobody by the batch: held to `training.data.morphs`, which makes them one by one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.faces68 import landmarks68
from training.data import morphs, online_morphs
from training.data.chips import load_chips
from training.data.online_morphs import MorphSampler, blend_weights, identity_matrices, warp_to_shape


@pytest.fixture(autouse=True)
def _few_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(online_morphs, "APPEARANCE_CHIPS", 32)
    monkeypatch.setattr(online_morphs, "AT_ONCE", 32)


@pytest.fixture
def crowd(data: Path) -> MorphSampler:
    return MorphSampler(load_chips(data, data), "cpu", torch.Generator().manual_seed(0))


@pytest.fixture
def _no_other_light(monkeypatch: pytest.MonkeyPatch) -> None:
    for spread in ("GAMMA", "TINT", "SIDELIGHT"):
        monkeypatch.setattr(online_morphs, spread, 0.0)
    monkeypatch.setattr(online_morphs, "COLOUR", (1.0, 1.0))


def test_points_come_to_lie_where_triangles_put_them() -> None:
    """Of pictures whose colours say where a pixel is from."""
    target = landmarks68()
    rng = np.random.default_rng(0)
    source = (target * np.float32([1.08, 0.95]) + rng.normal(0, 0.5, target.shape)).astype(np.float32)
    y, x = np.mgrid[:128, :128].astype(np.uint8)
    places = np.stack([x, y, 0 * x], -1)
    by_triangles = morphs.warp_to_shape([places], [source], target)[0][..., :2]
    pictures = torch.from_numpy(places).permute(2, 0, 1)[None, None].float()
    given = (torch.from_numpy(each)[None] for each in (source[None], target))
    ours = warp_to_shape(pictures, *given, identity_matrices(1, "cpu"))[0, 0, :2].permute(1, 2, 0).numpy()
    column, row = target.round().astype(int).T
    assert np.abs(ours[row, column] - source).mean() < 0.7
    assert np.abs(ours[row, column] - by_triangles[row, column]).mean() < 0.7
    assert np.abs(ours[20:110, 30:100] - by_triangles[20:110, 30:100]).mean() < 1.5
    assert np.abs(ours[[0, 0, -1, -1], [0, -1, 0, -1]] - [[0, 0], [127, 0], [0, 127], [127, 127]]).max() < 1


@pytest.mark.usefixtures("_no_other_light")
def test_a_face_of_one_parent_that_departs_from_nothing_is_the_parents(crowd: MorphSampler, data: Path) -> None:
    chips = load_chips(data, data)
    known = torch.from_numpy(np.array(chips.images[chips.train])).permute(0, 3, 1, 2).float()
    faces, _ = crowd.sample(6, real=6)
    away = [min(float((face - each).abs().mean()) for each in torch.cat([known, known.flip(3)])) for face in faces]
    assert max(away) < 0.6


def test_each_online_morph_is_a_new_identity(crowd: MorphSampler) -> None:
    faces, whose = crowd.sample(12, real=2)
    assert faces.shape == (12, 3, 128, 128) and faces.min() >= 0 and faces.max() <= 255 and torch.equal(faces, faces.round())
    assert (whose[:2] < crowd.people).all() and (whose[2:] >= crowd.people).all() and len(whose[2:].unique()) == 10
    assert float((faces[2:, None] - faces[None, 2:]).abs().mean((2, 3, 4))[~torch.eye(10, dtype=torch.bool)].min()) > 2


def test_online_morphs_have_one_to_three_parents_and_never_themselves(crowd: MorphSampler) -> None:
    parents, present = crowd.choose_parents(600, real=100)
    assert parents.shape == present.shape == (600, 3)
    assert (present[:100].sum(1) == 1).all() and (present[:, 0] == 1).all()
    found = np.bincount(present[100:].sum(1).long().numpy(), minlength=4)[1:] / 500
    assert found == pytest.approx(morphs.PARENTS, abs=0.08)
    together = (parents[:, 1:] == parents[:, :1]) & (present[:, 1:] > 0)
    assert not together.any()


def test_shares_leave_nothing_out_and_the_absent_have_none() -> None:
    present = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    parts = blend_weights(present, torch.Generator().manual_seed(0))
    assert torch.allclose(parts.sum(1), torch.ones(3, 128, 128), atol=1e-5)
    assert not parts[0, 1:].any() and not parts[1, 2].any() and parts[2].mean((1, 2)).min() > 0.05
    assert parts.diff(dim=3).abs().mean() < 0.02


def test_steps_made_with_one_seed_are_alike(crowd: MorphSampler) -> None:
    made = [crowd.sample(3)[0] for _ in range(2) if crowd.generator.manual_seed(7)]
    assert torch.equal(*made)
