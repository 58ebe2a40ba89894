"""What ONNX runtimes compute is what torch computes."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export
from models.recognizer import Recognizer
from models.superres import SuperResNet
from models.weights_io import WEIGHTS, load_weights

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
logging.getLogger("torch.onnx").setLevel(logging.ERROR)


@torch.inference_mode()
def both(kind: str, net: torch.nn.Module, side: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Output of ONNX Runtime and of torch for five chips, though two were exported."""
    export(kind, folder / "net.onnx", side=side)
    load_weights(net, WEIGHTS / f"{kind}.safetensors")
    chips = np.random.default_rng(0).random((5, 3, side, side), np.float32)
    outputs = onnxruntime.InferenceSession(str(folder / "net.onnx")).run(None, {"chips": chips})
    theirs = net.eval()(torch.from_numpy(chips))
    return outputs[0], (theirs[0] if isinstance(theirs, tuple) else theirs).numpy()


def test_superres(tmp_path: Path) -> None:
    found, expected = both("superres", SuperResNet(), 16, tmp_path)
    assert found.shape == (5, 3, 128, 128) and np.abs(found - expected).max() < 2 / 255


def test_recognizer(tmp_path: Path) -> None:
    found, expected = both("recognizer", Recognizer(), 64, tmp_path)
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999


def test_a_side_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="side = 20: must be one of"):
        export("superres", tmp_path / "x.onnx", side=20)
