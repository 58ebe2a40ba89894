"""The recognition tables on a little test set of the project's own faces."""

import argparse
import csv
import io
import json
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from evaluation import recognition
from evaluation.ablation import RECIPES
from evaluation.identification import photographed, split, templates
from evaluation.lfw import load_lfw, shrunk
from models import load_recognizer, load_superres
from models.facegen import FaceGenerator, Look
from models.recognizer import Recognizer


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


BIN = {"face_px": 20.0, "log10_fmr": [-1, -2], "scores": [0.1, 0.2], "tail": {"shape": -0.1, "scale": 0.05}}


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


def test_the_parts_of_open_set_search(data: Path) -> None:
    lfw = load_lfw(data)
    enrolled, probes, strangers = split(lfw)
    assert enrolled.tolist() == [0, 2, 4, 6] and probes.tolist() == [1, 3, 5, 7] and strangers.tolist() == [8, 9, 10, 11]
    recognizer = load_recognizer(device="cpu")
    gallery = recognizer.embed(lfw.chips[enrolled])
    shots = photographed(recognizer, lfw.chips[probes], 64, 3, load_superres(device="cpu").upscale, ("direct", "fused"))
    for kind, weighted in (("direct", False), ("direct", True), ("fused", True)):
        found = templates(shots, kind, weighted)
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
        assert ((found @ gallery.T).argmax(1) == np.arange(4)).all()
    assert shrunk(lfw.chips[:2], "area", 20).shape == (2, 32, 32, 3)  # the next rung


def test_a_card_is_written_for_whom_it_is_about(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recognition, "impostors", lambda *_: [BIN])
    rows = [{"recognizer": "other", "look": "cctv", "side": 16, "accuracy": 0.91239, "scores": np.zeros(3)}]
    other = SimpleNamespace(card={"kind": "recognizer", "sha256": "x"})
    arguments = SimpleNamespace(data=data, cache=data, pairs=8)
    recognition.write_card(tmp_path / "other.json", other, rows, arguments)  # type: ignore[arg-type]
    card = json.loads((tmp_path / "other.json").read_text())
    assert (
        card["sha256"] == "x"
        and card["impostors"]
        and card["figures"]["rows"] == [{"look": "cctv", "side": 16, "accuracy": 0.9124}]
    )


def test_a_run_is_measured_for_the_ablation(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = {"network": "Recognizer", "arguments": {}, "average": Recognizer().state_dict()}
    torch.save(state, tmp_path / "state.pt")
    found = RECIPES["recognizer"].measure(argparse.Namespace(data=data))("untrained", tmp_path)
    assert set(found) == {"16 px", "cctv 20"} and all(0 <= value <= 100 for value in found.values())
