"""The recogniser's training from faces that never come twice, from command to weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.networks.recognizer import Recognizer
from training.common.runs import load_averaged, provenance_of
from training.data import online_morphs
from training.recognizer import train as train_recognizer
from training.recognizer import train_online as train_recognizer_online


class Teacher:
    """Knows a face by the mean colours of its parts."""

    def __init__(self, weights: Path, device: str) -> None:
        self.device = device

    def vectors(self, pictures: torch.Tensor) -> torch.Tensor:
        assert pictures.shape[1:] == (3, 128, 128) and pictures.device.type == self.device
        return torch.nn.functional.adaptive_avg_pool2d(pictures / 255, 12).flatten(1)

    def embed(self, chips: np.ndarray, mirrored: bool = True) -> np.ndarray:
        pictures = torch.from_numpy(np.array(chips)).permute(0, 3, 1, 2).float()
        return self.vectors(pictures.to(self.device)).cpu().numpy()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_recognizer_online, "EdgeFace", Teacher)
    monkeypatch.setattr(train_recognizer_online, "NEGATIVE_QUEUE", 16)
    monkeypatch.setattr(online_morphs, "APPEARANCE_CHIPS", 32)
    monkeypatch.setattr(online_morphs, "AT_ONCE", 32)


def test_a_deeper_network_goes_on_from_a_run(run) -> None:  # type: ignore[no-untyped-def]
    run(train_recognizer, "before", "--look", "cctv")
    out = run(train_recognizer_online, "on", "--teacher", "@x", "--start", "@before", "--depths", "2", "4", "2", batch=12)
    columns = (out / "log.csv").read_text().splitlines()[0].split(",")
    assert {"embedding", "contrast", "quality"} <= set(columns)
    net = load_averaged(out, {"Recognizer": Recognizer})
    assert len(net.stages[1]) == 4 and net.with_features(torch.zeros(1, 3, 64, 64))[0].isfinite().all()
    assert provenance_of(out).samples == 8 + 24 and provenance_of(out).commands[0].endswith("--out before")


def test_from_scratch_and_without_super_resolution(run) -> None:  # type: ignore[no-untyped-def]
    out = run(train_recognizer_online, "scratch", "--teacher", "@x", "--plain", batch=8)
    assert provenance_of(out).samples == 16


def test_a_start_of_another_build_names_itself(run) -> None:  # type: ignore[no-untyped-def]
    run(train_recognizer, "deep", "--look", "cctv", "--depths", "3", "3", "2")
    with pytest.raises(SystemExit, match=r"--start .*not the same network with fewer blocks"):
        run(train_recognizer_online, "less", "--teacher", "@x", "--start", "@deep", "--depths", "2", "3", "2")
