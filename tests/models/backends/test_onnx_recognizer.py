"""A foreign recogniser behind the same contract. Here it is our own network, written as ONNX."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models import load_recognizer, recognizer_card
from models.weights_io import digest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


class Foreign(torch.nn.Module):
    """A picture's coarse colours as its vector."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x, 28).flatten(1)


class Broken(Foreign):
    """Gives no number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (super().forward(x) - 2).sqrt()


def written(net: torch.nn.Module, file: Path, size: tuple[int, ...] = (2, 3, 112, 112), dynamic: bool = True) -> Path:
    shapes = ({0: torch.export.Dim("batch")},) if dynamic else None
    torch.onnx.export(net.eval(), (torch.zeros(size),), str(file), dynamic_shapes=shapes, external_data=False, verbose=False)
    return file


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(Foreign(), tmp_path_factory.mktemp("onnx") / "foreign.onnx")


@pytest.mark.parametrize("side", [16, 64, 128])
def test_it_embeds_any_level(path: Path, chips: np.ndarray, side: int) -> None:
    net = load_recognizer(path, "cpu")
    small = chips[:, :: 128 // side, :: 128 // side]
    vectors, quality = net.embed_with_quality(small)
    assert vectors.shape == (8, 48) == (8, net.dim) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5) and (quality == 1).all()
    assert np.allclose(net.embed(np.ascontiguousarray(small[:, :, ::-1])), vectors, atol=0.02)  # its mirror image is the same
    assert net.embed_with_quality(np.full((1, side, side, 3), 7, np.uint8))[1].tolist() == [0]
    with pytest.raises(ValueError, match="chips must be"):
        net.embed(chips[:0])


def test_no_threshold_without_impostor_scores(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--write-card"):
        recognizer_card(path)
    with pytest.raises(ValueError, match="no such file"):
        recognizer_card(tmp_path / "none.onnx")
    copy = tmp_path / "foreign.onnx"
    copy.write_bytes(path.read_bytes())
    copy.with_suffix(".json").write_text(json.dumps({"sha256": digest(path), "impostors": [{"face_px": 9.0}]}))
    assert load_recognizer(copy, "cpu").digest == digest(path) == recognizer_card(copy)["sha256"]
    copy.with_suffix(".json").write_text(json.dumps({"sha256": "another"}))
    with pytest.raises(ValueError, match="does not match the sha256"):
        load_recognizer(copy, "cpu")


def test_nan_embeddings_have_quality_zero(chips: np.ndarray, tmp_path: Path) -> None:
    vectors, quality = load_recognizer(written(Broken(), tmp_path / "broken.onnx"), "cpu").embed_with_quality(chips)
    assert np.isfinite(vectors).all() and (quality == 0).all()


@pytest.mark.parametrize(("size", "why"), [((3, 3, 112, 112), "cannot be run on two"), ((1, 3, 112, 96), "not a recogniser")])
def test_networks_with_other_inputs_are_refused(tmp_path: Path, size: tuple[int, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        load_recognizer(written(Foreign(), tmp_path / "other.onnx", size, dynamic=False), "cpu")


def test_a_file_that_is_no_onnx_is_refused(path: Path, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"rubbish")
    with pytest.raises(ValueError, match="not a readable ONNX"):
        load_recognizer(tmp_path / "x.onnx", "cpu")
