import numpy as np
import pytest
import torch

from models.networks.verification import VerificationNet
from training.common.runs import load_averaged
from training.data.scenes import Scene
from training.detector import train_verification as train_rescore
from training.detector.train_verification import verdicts


def test_candidates_are_faces_none_or_left_out() -> None:
    boxes = np.array([[10, 10, 30, 35], [60, 60, 80, 85]], np.float32)
    scene = Scene(np.zeros((99, 99, 3), np.uint8), boxes, np.zeros((2, 5, 2), np.float32), np.array([0.9, 0.3], np.float32))
    offered = np.array([[11, 10, 31, 35], [17, 15, 37, 40], [61, 61, 79, 84], [40, 5, 50, 15]], np.float32)
    assert verdicts(scene, offered).tolist() == [1, -1, -1, 0]
    assert verdicts(scene, offered[:0]).shape == (0,)
    witnessed = np.array([[38, 4, 52, 16], [8, 8, 32, 37]], np.float32)
    assert verdicts(scene, offered, witnessed).tolist() == [1, -1, -1, -1]


def test_a_run_from_scenes_to_weights(run, chips: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:  # type: ignore[no-untyped-def]
    picture = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    picture[100:228, 100:228] = chips[0]
    scene = Scene(picture, np.array([[124, 118, 204, 225]], np.float32), np.zeros((1, 5, 2), np.float32), np.ones(1, np.float32))
    monkeypatch.setattr(train_rescore, "load_pool", lambda _: [scene, scene])
    (tmp_path / "command.txt").write_text("pool")
    out = run(train_rescore, "rescore", "--scenes", "@")
    with np.load(out / "pool.npz") as pool:
        assert pool["own"].shape == (2, len(pool["verdicts"])) and 1 in pool["verdicts"]
    state = torch.load(out / "state.pt", weights_only=True)
    assert state["network"] == "VerificationNet"
    torch.save({**state, "network": "RescoreNet"}, out / "state.pt")  # its name in runs of before
    assert isinstance(load_averaged(out, {"VerificationNet": VerificationNet}), VerificationNet)
