"""dlib's recogniser as a yardstick: what it is asked, and what it says of files and packages that are not there."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation.dlib_recognizer import LANDMARKS
from evaluation.recognizers import open_recognizers


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its two files, and a dlib that gives each picture its mean colours, three times as long as a unit vector."""

    def model(_: str) -> SimpleNamespace:
        def descriptors(pictures: list[np.ndarray], shapes: list[list[tuple]]) -> list[list[np.ndarray]]:
            assert [shape[0][0] for shape in shapes] == [picture.shape for picture in pictures]
            means = [picture.mean((0, 1)) for picture in pictures]
            return [[3 * mean / np.linalg.norm(mean)] for mean in means]

        return SimpleNamespace(compute_face_descriptor=descriptors)

    fake = SimpleNamespace(
        face_recognition_model_v1=model,
        shape_predictor=lambda _: lambda picture, box: (picture.shape, box),
        rectangle=lambda *edges: edges,
        full_object_detections=list,
    )
    monkeypatch.setitem(sys.modules, "dlib", fake)
    (tmp_path / LANDMARKS).touch()
    (tmp_path / "dlib.dat").touch()
    return tmp_path / "dlib.dat"


def test_chips_of_any_level_are_embedded_at_full_size(weights: Path) -> None:
    dlib = open_recognizers([f"dlib={weights}"])["dlib"]
    chips = np.full((70, 32, 32, 3), (200, 100, 50), np.uint8)
    vectors, quality = dlib.embed_with_quality(chips)
    assert vectors.shape == (70, 3) and np.allclose(np.linalg.norm(vectors, axis=1), 1) and (quality == 1).all()
    left, top, right, bottom = dlib._box  # type: ignore[attr-defined]
    assert 0 <= left < 46 and 82 < right < 128 and 20 < top < 59 and 100 < bottom < 128  # around eyes and mouth


def test_what_is_missing_is_said(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights.with_name(LANDMARKS).unlink()
    with pytest.raises(SystemExit, match=LANDMARKS):
        open_recognizers([f"dlib={weights}"])
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(SystemExit, match="not installed"):
        open_recognizers([f"dlib={weights}"])
