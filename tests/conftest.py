"""Faces and clips the tests share. Everybody in them is computer-made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import structlog

from models.networks.facegen import FaceGenerator, Look
from models.weights_io import WEIGHTS
from synthetic.corridor import render_clip
from tests import fakes
from tests.running import farsight, watching


@pytest.fixture(scope="session", autouse=True)
def fakes_are_installed() -> Iterator[None]:
    """Settings may name the fakes, as if a package had registered them."""
    names = {f"tests.fakes.{name}": f"tests.fakes.{name}" for name in vars(fakes) if name[0].isupper()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.stage_classes.installed_stages", lambda: names)
        yield


@pytest.fixture(autouse=True)
def log_as_at_start() -> Iterator[None]:
    """A test that opens the log leaves none behind that writes to its closed stderr."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def generator() -> FaceGenerator:
    return FaceGenerator(WEIGHTS / "facegen.safetensors")


@pytest.fixture(scope="session")
def chips(generator: FaceGenerator) -> np.ndarray:
    """Two pictures each of four people: (8, 128, 128, 3), neighbours are the same person."""
    looks = (Look(), Look(yaw=0.2, smile=0.6, light=(0.2, -0.1)))
    return np.stack([generator.render(generator.identity(s), look)[0] for s in (11, 12, 13, 14) for look in looks])


@pytest.fixture(scope="session")
def corridor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an 8 second clip of four walkers, two enrolled, its truth and their photos."""
    folder = tmp_path_factory.mktemp("corridor")
    render_clip(folder, seconds=8.0, width=640, walkers=4, fps=10, seed=6)
    return folder


@pytest.fixture(scope="session")
def inline(corridor: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an unbroken inline run: what every other way of running must give as well."""
    out = tmp_path_factory.mktemp("inline") / "out"
    done = farsight(
        *watching(corridor, corridor / "people", out),
        "--engine",
        "inline",
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="session")
def people(inline: Path) -> Path:
    return inline / "farsight.db"
