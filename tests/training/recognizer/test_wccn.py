"""What cameras do to vectors is weighed down, and what training goes on with stays as it was."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from models import load_recognizer
from models.networks.recognizer import Recognizer
from models.weights_io import WEIGHTS, load_network
from training.recognizer import wccn as whiten
from training.recognizer.wccn import wccn_matrix


def test_wccn_reduces_directions_with_much_variation_within_a_person() -> None:
    departures = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32) * np.float32([3, 1, 1, 0.1])
    matrix = wccn_matrix(departures)
    assert np.allclose(matrix, matrix.T) and np.abs(matrix - np.diag(np.diag(matrix))).max() < 0.05
    expected = ((np.array([9, 1, 1, 0.01]) / (11.01 / 4) + 1) / 2) ** -0.5
    assert np.diag(matrix) == pytest.approx(expected, rel=0.05)


def test_published_weights_are_whitened(data: Path, tmp_path: Path, chips: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "recognizer.safetensors"
    for suffix in (".safetensors", ".json"):
        shutil.copy(WEIGHTS / f"recognizer{suffix}", file.with_suffix(suffix))
    before, pictures = load_network(Recognizer, file, "recognizer")[0].eval(), torch.rand(3, 3, 64, 64)
    argv = [
        "training/recognizer/wccn.py",
        "--data",
        str(data),
        "--cache",
        str(tmp_path),
        "--weights",
        str(file),
        "--chips",
        "8",
        "--look",
        "cctv",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    whiten.main()
    after = load_network(Recognizer, file, "recognizer")[0].eval()
    assert torch.equal(before.with_features(pictures)[0], after.with_features(pictures)[0])
    assert torch.equal(before(pictures)[1], after(pictures)[1])  # the quality is the same
    assert np.abs(np.linalg.norm(load_recognizer(file, "cpu").embed(chips), axis=1) - 1).max() < 1e-5
    card = json.loads(file.with_suffix(".json").read_text())
    assert "training.recognizer.wccn" in card["command"] and "impostors" not in card and card["figures"] == {}
    first = after.whitening.clone()
    whiten.main()  # not once more on top of it
    assert torch.allclose(load_network(Recognizer, file, "recognizer")[0].whitening, first, atol=1e-3)
