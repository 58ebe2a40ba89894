"""Faces of nobody: what is drawn, and that the recogniser can learn from them."""

import sys
from pathlib import Path

import numpy as np
import pytest

from models.networks.facegen import FaceGenerator, Look
from tests.faces68 import landmarks68
from training.data import morphs
from training.data.chips import load_chips
from training.recognizer import train as train_recognizer


class Teacher:
    """Knows a face by the mean colours of its parts."""

    def __init__(self, weights: Path) -> None: ...

    def embed(self, chips: np.ndarray, mirrored: bool = True) -> np.ndarray:
        parts = chips.reshape(len(chips), 16, 8, 16, 8, 3).mean((2, 4)).reshape(len(chips), -1)[:, :512]
        return np.asarray(parts / np.linalg.norm(parts, axis=1, keepdims=True), np.float32)


def test_points_come_to_lie_on_their_targets() -> None:
    chip, points = np.zeros((128, 128, 3), np.uint8), landmarks68()
    chip[60:68, 60:68] = 255
    moved, kept = morphs.warp_to_shape((chip, chip), (points + np.float32([10, 0]), points), points)
    bright = np.argwhere(moved[..., 0] > 128).mean(0)
    assert bright == pytest.approx([63.5, 53.5], abs=1.0)
    assert (kept == chip).all()


def test_a_face_put_together_from_itself_is_the_face(generator: FaceGenerator) -> None:
    chip = generator.render(generator.identity(0), Look())[0]
    parts = morphs.blend_weights(3, np.random.default_rng(0))
    assert np.abs(morphs.morph([chip] * 3, [landmarks68()] * 3, parts).astype(int) - chip).max() <= 1


def test_parents_are_brought_to_one_colour(generator: FaceGenerator) -> None:
    chip = generator.render(generator.identity(0), Look())[0] // 2
    parts = morphs.blend_weights(2, np.random.default_rng(0))
    made = morphs.morph([chip, chip + 40], [landmarks68()] * 2, parts)
    assert made.astype(int) == pytest.approx(chip + 20, abs=1)


def test_shares_change_smoothly_over_the_face_and_leave_nothing_out() -> None:
    many = np.stack([morphs.blend_weights(2, np.random.default_rng(seed)) for seed in range(50)])
    assert many.sum(1) == pytest.approx(1, abs=1e-5) and many.mean() == pytest.approx(0.5, abs=0.1)
    assert np.abs(np.diff(many, axis=2)).mean() < 0.02 and many.std((2, 3)).mean() > 0.2


def test_shapes_depart_as_faces_differ() -> None:
    rng = np.random.default_rng(0)
    wide = landmarks68() * np.float32([1, 0])  # faces that differ in width alone
    points = landmarks68() + wide * rng.normal(0, 0.1, (200, 1, 1)).astype(np.float32)
    found = np.stack([morphs.ShapeModel(points).sample_offset(rng) for _ in range(50)])
    assert np.abs(found[..., 0]).mean() > 1 and np.abs(found[..., 1]).max() < 0.01


def test_much_photographed_people_do_not_prevail() -> None:
    chance = morphs.sampling_weights(np.array(["a"] * 100 + ["b"]))
    assert chance.sum() == pytest.approx(1) and chance[:100].sum() == pytest.approx(10 * chance[100])


def test_parents_are_one_to_three_alike_and_never_the_face_itself() -> None:
    vectors = np.repeat(np.eye(4, dtype=np.float32), 25, 0)  # four kinds of people
    found = morphs.choose_parents(np.arange(100), np.full(100, 0.01), vectors, 400, np.random.default_rng(0))
    assert {len(family) for family in found} == {1, 2, 3}
    several = [family for family in found if len(family) > 1]
    assert all((family[1:] != family[0]).all() for family in several)
    assert np.mean([(family[1:] // 25 == family[0] // 25).mean() for family in several]) > 0.5


def test_the_recogniser_trains_on_morphs(run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(morphs, "EdgeFace", Teacher)
    out = tmp_path / "morphs"
    monkeypatch.setattr(
        sys, "argv", ["morphs", "--data", str(data), "--cache", str(data), "--teacher", "x", "--out", str(out), "--number", "6"]
    )
    morphs.main()
    images, vectors = np.load(out / "images.npy"), np.load(out / "vectors.npy")
    assert images.shape == (6, 128, 128, 3) and images.std(0).mean() > 5
    assert vectors.shape == (6, load_chips(data, data).teacher_embeddings().shape[1])
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert (run(train_recognizer, "student", "--morphs", str(out)) / "state.pt").exists()


def test_morphs_have_no_labels(run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit, match="no label"):
        run(train_recognizer, "x", "--morphs", "@none", "--relation", "--teacher", "@sharp")
