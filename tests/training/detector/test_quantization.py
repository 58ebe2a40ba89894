"""How far maps reach is written into cards, and by it networks run in 8 bits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from models.detection import SmallFaceDetector
from models.networks.detector import DetectorNet
from models.runtime.int8 import int8_is_faster
from models.weights_io import WEIGHTS
from training.detector.quantization import KEPT, measure


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "detector.safetensors"
    shutil.copy(WEIGHTS / file.name, file)
    card = json.loads((WEIGHTS / "detector.json").read_text())
    del card["ranges"]
    file.with_suffix(".json").write_text(json.dumps(card))
    return file


def test_a_card_is_told_the_largest_numbers_of_all_batches(weights: Path) -> None:
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 256, (2, 64, 96, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8)]
    told = []
    for shown in ([batches[0]], [batches[1]], batches):
        measure(DetectorNet, weights, "detector", ((pictures,) for pictures in shown))
        told.append(json.loads(weights.with_suffix(".json").read_text())["ranges"])
    assert told[0].keys() == json.loads((WEIGHTS / "detector.json").read_text())["ranges"].keys()
    first, second, both = (np.array(list(ranges.values())) for ranges in told)
    assert both == pytest.approx(np.maximum(first, second), rel=1e-3) and (first != second).all() and KEPT < 1


@pytest.mark.skipif(not int8_is_faster(torch.device("cpu")), reason="the processor does not multiply bytes")
def test_a_detector_computes_in_8_bits_once_its_card_tells_the_ranges(weights: Path, chips: np.ndarray) -> None:
    frame = np.full((160, 160 * len(chips), 3), 90, np.uint8)
    for number, chip in enumerate(chips):
        frame[16:144, 160 * number + 16 : 160 * number + 144] = chip
    before = SmallFaceDetector(weights, "cpu", 0.5)
    shutil.copy(WEIGHTS / "detector.json", weights.with_suffix(".json"))
    after = SmallFaceDetector(weights, "cpu", 0.5)
    assert after.int8 and not before.int8
    (found,), (same,) = before.detect([frame]), after.detect([frame])
    assert len(found) == len(same) == len(chips)
    found, same = (faces[np.argsort(faces.boxes[:, 0])] for faces in (found, same))
    assert np.abs(found.boxes - same.boxes).max() < 80 / 20 and np.abs(found.scores - same.scores).max() < 0.1
