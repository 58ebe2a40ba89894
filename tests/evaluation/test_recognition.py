"""The recognition tables on a little test set of the project's own faces."""

import argparse
import csv
import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from evaluation import lfw as lfw_module
from evaluation import recognition
from evaluation.ablation import RECIPES
from evaluation.identification import embed_shots, split, templates
from evaluation.lfw import camera_shots, degrade, load_lfw
from evaluation.recognizers import open_recognizers
from models import load_recognizer, load_superres
from models.networks.facegen import FaceGenerator, Look
from models.networks.iresnet import IResNet
from models.networks.recognizer import Recognizer
from models.runtime.devices import compute_dtype
from models.weights_io import WEIGHTS, digest


@pytest.fixture(scope="module")
def data(generator: FaceGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four people with two photos, four strangers with one; eight pairs in two folds."""
    root = tmp_path_factory.mktemp("lfw")
    folder = root / "lfw-dev"
    folder.mkdir()
    people = [(name, look) for name in range(4) for look in (Look(), Look(yaw=0.2, smile=0.5))] + [
        (n, Look()) for n in range(4, 8)
    ]
    with tarfile.open(folder / "chips.tar", "w") as tar:
        for row, (name, look) in enumerate(people):
            code = cv2.imencode(".webp", generator.render(generator.identity(name + 40), look)[0][..., ::-1])[1].tobytes()
            info = tarfile.TarInfo(f"{row}.webp")
            info.size = len(code)
            tar.addfile(info, io.BytesIO(code))
    with (folder / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "identity"), *((f"{i}.webp", f"p{name}") for i, (name, _) in enumerate(people))])
    pairs = [(2 * i, 2 * i + 1, 1, i % 2 + 1) for i in range(4)] + [(2 * i, 8 + i, 0, i % 2 + 1) for i in range(4)]
    with (folder / "pairs.csv").open("w", newline="") as file:
        rows = [(f"{a}.webp", f"{b}.webp", same, fold) for a, b, same, fold in pairs]
        csv.writer(file).writerows([("left", "right", "same", "fold"), *rows])
    return root


BIN = {
    "face_px": [10, 80], "shots": 1, "people": 9, "lists": [1, 10], "rates": [0.1, 0.01], "cosines": [[0.1, 0.2], [0.2, 0.3]],
    "error": 0.01,
}  # fmt: skip


def test_verification_is_perfect_on_easy_faces_and_worse_on_small_ones(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(recognition, "CLEAN", (112, 14))
    monkeypatch.setattr(recognition, "CCTV", (16,))
    monkeypatch.setattr(recognition, "BICUBIC", (16,))
    monkeypatch.setattr(sys, "argv", ["recognition", "--data", str(data)])
    recognition.main()
    table = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    kinds = [(row[1], row[2], row[3], row[4]) for row in table]
    assert len(kinds) == len(set(kinds)) == 1 + 2 * 4 + 4 + 4
    cosines = {(row[1], row[2], row[4]): float(row[8]) for row in table}
    assert cosines["clean", "112", "direct"] == 1.0 > cosines["clean", "14", "direct"] > cosines["cctv", "16", "direct"]
    assert float(table[0][6]) == 100.0  # TAR of sharp faces


def test_who_looks_like_a_training_chip_is_not_measured(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lfw_module, "shared_people", lambda: frozenset({"p1", "p4"}))
    found, whole = load_lfw(data), load_lfw(data, include_shared=True)
    assert (len(whole.chips), len(whole.same)) == (12, 8) and {"p1", "p4"} <= set(whole.names)
    assert not {"p1", "p4"} & set(found.names) and (len(found.chips), len(found.same)) == (9, 5)
    for pair in range(len(found.same)):
        assert (found.names[found.left[pair]] == found.names[found.right[pair]]) == found.same[pair]


def test_the_parts_of_open_set_search(data: Path) -> None:
    lfw = load_lfw(data)
    enrolled, probes, strangers = split(lfw)
    assert enrolled.tolist() == [0, 2, 4, 6] and probes.tolist() == [1, 3, 5, 7] and strangers.tolist() == [8, 9, 10, 11]
    recognizer = load_recognizer(device="cpu")
    gallery = recognizer.embed(lfw.chips[enrolled])
    shots = embed_shots(recognizer, lfw.chips[probes], 64, 3, load_superres(device="cpu").upscale, ("direct", "fused"))
    for kind, weighted in (("direct", False), ("direct", True), ("fused", True)):
        found = templates(shots, kind, weighted)
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
        assert ((found @ gallery.T).argmax(1) == np.arange(4)).all()
    assert degrade(lfw.chips[:2], "area", 20).shape == (2, 32, 32, 3)  # the next resolution level


@pytest.mark.parametrize(("side", "level"), [(16, 16), (17, 32), (37, 32), (38, 64)])
def test_at_the_lowest_resolution_level_no_pixel_is_lost(side: int, level: int) -> None:
    assert degrade(np.zeros((1, 128, 128, 3), np.uint8), "area", side).shape == (1, level, level, 3)


def test_camera_shots_have_the_resolution_level_the_pipeline_would_cut_them_at() -> None:
    chips = np.arange(0, 250, 50, np.uint8)[:, None, None, None] * np.ones((128, 128, 3), np.uint8)
    shots = camera_shots(chips, [73, 40, 128, 60, 75], np.random.default_rng(0))
    assert [shot.shape[0] for shot in shots] == [64, 64, 128, 64, 128]  # 15 % too large is not yet the next level
    assert (np.diff([shot.mean() for shot in shots]) > 10).all()  # in the order of the chips


class Foreign:
    """Knows people by the colours of 16 patches, and has no card yet."""

    def __init__(self) -> None:
        self.card = {"kind": "recognizer"}

    def embed_with_quality(self, chips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = chips.reshape(len(chips), 4, 32, 4, 32, 3).mean((2, 4)).reshape(len(chips), -1).astype(np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True), np.ones(len(chips), np.float32)


def test_figures_go_into_the_card_of_whom_they_are_about(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = (WEIGHTS / "recognizer.json").read_text()
    monkeypatch.setattr(recognition, "open_recognizers", lambda _: {"other": Foreign(), "first": Foreign()})
    (tmp_path / "other.onnx").write_bytes(b"a network")
    monkeypatch.setattr(recognition, "impostor_scores", lambda *_: [BIN])
    monkeypatch.setattr(recognition, "CLEAN", (112,))
    monkeypatch.setattr(recognition, "CCTV", ())
    monkeypatch.setattr(recognition, "BICUBIC", ())
    other = f"other={tmp_path / 'other.onnx'}"
    monkeypatch.setattr(sys, "argv", ["recognition", "--data", str(data), "--recognizer", other, "--write-card"])
    recognition.main()
    card = json.loads((tmp_path / "other.json").read_text())
    assert card["sha256"] == digest(tmp_path / "other.onnx") and card["kind"] == "recognizer"
    assert card["impostors"] == [BIN] and card["figures"]["data"].startswith("lfw-dev, 8 pairs; ")
    (row,) = card["figures"]["rows"]
    assert (row["look"], row["side"], row["cos"]) == ("clean", 112, 1.0) and not {"recognizer", "scores"} & set(row)
    assert (WEIGHTS / "recognizer.json").read_text() == shipped


def test_the_ablation_trains_with_programs_that_are_there() -> None:
    assert all(importlib.util.find_spec(f"training.{network}.train") for network in RECIPES)


def test_a_run_is_measured_for_the_ablation(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {"network": "Recognizer", "arguments": {}, "average": Recognizer().state_dict()}
    torch.save(state, tmp_path / "state.pt")
    found = RECIPES["recognizer"].measure(argparse.Namespace(data=data))("untrained", tmp_path)
    assert set(found) == {"16 px", "cctv 20"} and all(0 <= value <= 100 for value in found.values())


def test_a_run_of_any_network_is_a_recognizer(tmp_path: Path, chips: np.ndarray) -> None:
    arguments = {"depth": 18, "pooled": True}
    state = {"network": "IResNet", "arguments": arguments, "average": IResNet(**arguments).state_dict()}
    torch.save(state, tmp_path / "state.pt")
    vectors, quality = open_recognizers([f"paper={tmp_path}"])["paper"].embed_with_quality(chips[:, ::8, ::8])
    assert vectors.shape[0] == len(quality) == 8 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    mirrored, _ = open_recognizers([f"paper={tmp_path}"])["paper"].embed_with_quality(chips[:, ::8, ::8][:, :, ::-1])
    rounding = 1e-4 if compute_dtype("cpu")[0] is torch.float32 else 2e-3  # bfloat16 rounds the two ways otherwise
    assert np.allclose(vectors, mirrored, atol=rounding)
