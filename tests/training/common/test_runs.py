"""Going on from earlier trainings: their runs, and the weights published from them."""

import json
import sys
from pathlib import Path

import pytest
import torch

from models.networks.landmarks import LandmarkNet
from models.networks.superres import SuperResNet
from models.weights_io import WEIGHTS, read_card, update_card
from training.common import publish
from training.common.runs import current_command, current_commit, load_averaged, provenance_of, strip_folders
from training.superres import train as train_superres

SUPERRES = {"SuperResNet": SuperResNet}


def test_published_weights_are_gone_on_with_and_their_making_is_kept(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    first = run(train_superres, "first", "--no-identity")
    file = tmp_path / "superres.safetensors"
    monkeypatch.setattr(sys, "argv", ["publish", "superres", "--run", str(first), "--out", str(file)])
    publish.main()
    before = load_averaged(first, SUPERRES).state_dict()
    for name, weights in load_averaged(file, SUPERRES).state_dict().items():
        assert torch.allclose(weights, before[name], atol=1e-2, rtol=1e-3), name

    second = run(train_superres, "second", "--start", "@superres.safetensors", "--no-identity")
    whole = provenance_of(second)
    assert [("--start" in c) for c in whole.commands] == [False, True] and whole.samples == 16

    update_card(file, speed={"here": 3}, figures={"db": 26})
    monkeypatch.setattr(sys, "argv", ["publish", "superres", "--run", str(second), "--out", str(file)])
    publish.main()  # in place of what it began from
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["figures"] == {} and card["speed"] == {"here": 3}  # the build is the same
    assert card["trained"]["samples"] == 16 and card["command"] == "; ".join(whole.commands)
    assert card["trained"]["commit"] == current_commit()
    assert card["architecture"] == {"widths": [128, 64, 40], "depths": [6, 5, 4], "regions": 0, "attentions": 2}
    assert provenance_of(second) == whole


def test_a_card_tells_the_command_that_runs_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/f/training/superres/train.py", "--data", "/d", "--cache", "c", "--out", "o"])
    assert current_command() == "python -m training.superres.train --data DATA --out o"


def test_cards_name_files_elsewhere_without_their_folders() -> None:
    command = "python -m training.x --scenes .cache/s --witness /home/me/yunet.onnx --out runs/a"
    assert strip_folders(command) == "python -m training.x --scenes .cache/s --witness yunet.onnx --out runs/a"


def test_own_data_is_named_and_a_teacher_is_not_published(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def published(name: str, *options: str) -> Path:
        folder, file = run(train_superres, name, "--no-identity", *options), tmp_path / f"{name}.safetensors"
        note = ("--data-note", "our own photos", "--licence", "ours")
        monkeypatch.setattr(sys, "argv", ["publish", "superres", "--run", str(folder), "--out", str(file), *note])
        publish.main()
        return file

    card = json.loads(published("own").with_suffix(".json").read_text())
    assert (card["data"], card["licence"]) == ("our own photos", "ours")
    with pytest.raises(SystemExit, match="only a student can be published"):
        published("seer", "--role", "teacher")
    assert not (tmp_path / "seer.safetensors").exists()


def test_the_mean_of_runs_is_published_and_what_they_share_is_told_once(run, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    first = run(train_superres, "first", "--no-identity")
    second = run(train_superres, "second", "--start", "@first", "--no-identity", "--lr", "1e-2")
    file = tmp_path / "mean.safetensors"
    monkeypatch.setattr(sys, "argv", ["publish", "superres", "--run", str(first), str(second), "--out", str(file)])
    publish.main()
    one, other = (load_averaged(folder, SUPERRES).state_dict() for folder in (first, second))
    for name, weights in load_averaged(file, SUPERRES).state_dict().items():
        assert torch.allclose(weights, (one[name] + other[name]) / 2, atol=1e-2, rtol=1e-3), name
    assert any(not torch.allclose(one[name], other[name], atol=1e-3) for name in one)
    card = json.loads(file.with_suffix(".json").read_text())
    assert card["command"] == "; ".join(provenance_of(second).commands) and card["trained"]["samples"] == 16

    teacher = run(train_superres, "teacher", "--role", "teacher", "--no-identity")
    monkeypatch.setattr(sys, "argv", ["publish", "superres", "--run", str(first), str(teacher), "--out", str(file)])
    with pytest.raises(SystemExit, match="only a student can be published"):
        publish.main()


def test_all_that_ships_has_its_card() -> None:
    for file in WEIGHTS.glob("*.safetensors"):
        assert read_card(file, file.stem.removesuffix("-fast"))["command"]


def test_what_cannot_be_gone_on_with_is_named(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit, match="landmarks weights, not of SuperResNet"):
        load_averaged(WEIGHTS / "landmarks.safetensors", SUPERRES)
    with pytest.raises(SystemExit, match="No such file"):
        load_averaged(tmp_path / "none.safetensors", SUPERRES)
    with pytest.raises(SystemExit, match=r"none: cannot read its state\.pt \(FileNotFoundError"):
        load_averaged(tmp_path / "none", SUPERRES)
    (tmp_path / "state.pt").write_bytes(b"rubbish")
    with pytest.raises(SystemExit, match="cannot read its"):
        provenance_of(tmp_path)
    with pytest.raises(SystemExit, match="a run of SuperResNet, not of LandmarkNet"):
        load_averaged(run(train_superres, "other", "--no-identity"), {"LandmarkNet": LandmarkNet})
