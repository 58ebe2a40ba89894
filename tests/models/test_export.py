"""What ONNX runtimes compute is what torch computes."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from models.export import export
from models.networks.detector import DetectorNet
from models.networks.landmarks import LandmarkNet
from models.networks.recognizer import Recognizer
from models.networks.superres import ENTRY_LEVELS, SuperResNet
from models.networks.verification import VerificationNet
from models.weights_io import load_shipped

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
logging.getLogger("torch.onnx").setLevel(logging.ERROR)


@torch.inference_mode()
def both(
    kind: str, network: type[torch.nn.Module], shape: tuple[int, ...], folder: Path, **more: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """First output of ONNX Runtime and of torch for pictures of another shape than were exported, and for what else it takes;
    the others are compared here."""
    export(kind, folder / "net.onnx", side=shape[-1])
    net = load_shipped(network, kind)
    pictures = np.random.default_rng(0).random(shape, np.float32)
    outputs = onnxruntime.InferenceSession(str(folder / "net.onnx")).run(None, {"pictures": pictures, **more})
    theirs = net.eval()(torch.from_numpy(pictures), *map(torch.from_numpy, more.values()))
    expected = [theirs] if isinstance(theirs, torch.Tensor) else list(theirs)
    assert len(outputs) == len(expected)
    assert all(np.abs(a - b.numpy()).max() < 2e-3 for a, b in zip(outputs[1:], expected[1:], strict=True))
    return outputs[0], expected[0].numpy()


@pytest.mark.parametrize("side", ENTRY_LEVELS)
def test_superres(tmp_path: Path, side: int) -> None:
    found, expected = both("superres", SuperResNet, (5, 3, side, side), tmp_path)
    assert found.shape == (5, 3, 128, 128) and np.abs(found - expected).max() < 2 / 255


def test_recognizer(tmp_path: Path) -> None:
    found, expected = both("recognizer", Recognizer, (5, 3, 64, 64), tmp_path)
    cosines = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosines.min() > 0.999


def test_detector(tmp_path: Path) -> None:
    found, expected = both("detector", DetectorNet, (1, 3, 96, 256), tmp_path)
    assert found.shape == (1, 15, 24, 64) and np.abs(found - expected).max() < 1e-3


def test_landmarks(tmp_path: Path) -> None:
    found, expected = both("landmarks", LandmarkNet, (3, 3, 48, 48), tmp_path)
    assert found.shape == (3, 5, 2) and np.abs(found - expected).max() < 1e-3


def test_verification(tmp_path: Path) -> None:
    side = load_shipped(VerificationNet, "rescore").side
    told = {"logits": np.array([-2, 0, 1], np.float32), "octaves": np.array([0, 2, -1], np.float32)}
    found, expected = both("rescore", VerificationNet, (3, 3, side, side), tmp_path, **told)
    assert found.shape == (3,) and np.abs(found - expected).max() < 1e-3


def test_a_wrong_input_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="side = 20: must be one of"):
        export("superres", tmp_path / "x.onnx", side=20)
