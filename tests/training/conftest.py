"""A data folder of the project's own faces, and a way to run a recipe on it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.networks.facegen import FaceGenerator, Look
from tests.faces68 import landmarks68
from training.data.priors import write_chips


@pytest.fixture(autouse=True)
def _own_signals() -> Iterator[None]:
    """A run's handlers must not outlive its test."""
    kept = {wish: signal.getsignal(wish) for wish in (signal.SIGTERM, signal.SIGINT)}
    yield
    for wish, handler in kept.items():
        signal.signal(wish, handler)


@pytest.fixture(scope="session")
def data(generator: FaceGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder of 24 chips."""
    folder = tmp_path_factory.mktemp("data")
    for person in range(24):
        chip = generator.render(generator.identity(person), Look())[0]
        (folder / "photos" / str(person)).mkdir(parents=True)
        cv2.imwrite(str(folder / "photos" / str(person) / "photo.png"), chip[..., ::-1])
    assert write_chips(folder / "photos", lambda photo: landmarks68(), folder)[0] == 24
    np.save(folder / "chips" / "edgeface_xs.npy", np.random.default_rng(0).integers(-99, 100, (24, 256), np.int8))
    return folder


@pytest.fixture
def run(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Runs a recipe's main for two small steps; its runs lie in one folder."""

    def go(recipe, out: str, *options: str, batch: int = 4) -> Path:  # type: ignore[no-untyped-def]
        monkeypatch.setitem(recipe.PRESETS, "cpu", {**recipe.PRESETS["cpu"], "samples": 2 * batch, "batch": batch, "lr": 1e-3})
        monkeypatch.setattr("training.data.chips.MAX_SOFT_DB", 99.0)
        named = [str(tmp_path / o[1:]) if o.startswith("@") else o for o in options]
        arguments = [*named, "--data", str(data), "--cache", str(data), "--out", str(tmp_path / out)]
        monkeypatch.setattr(sys, "argv", ["train", *arguments])
        recipe.main()
        return tmp_path / out

    return go
