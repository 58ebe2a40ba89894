"""The recogniser's recipes from command to weights, on the project's own faces and for a few steps."""

import sys

import numpy as np
import pytest
import torch

from models import load_recognizer
from models.networks.recognizer import Recognizer
from models.weights_io import WEIGHTS
from training.common.runs import load_averaged, provenance_of
from training.data.chips import load_chips
from training.recognizer import publish_onnx
from training.recognizer import train as train_recognizer
from training.recognizer.choose_network import NETWORKS
from training.recognizer.train import choose_pairs, identity_labels


def columns(folder) -> list[str]:  # type: ignore[no-untyped-def]
    return (folder / "log.csv").read_text().splitlines()[0].split(",")


def test_feature_similarity_from_a_teacher_of_the_same_build(run) -> None:  # type: ignore[no-untyped-def]
    run(train_recognizer, "sharp", "--role", "teacher")
    options = ("--teacher", "@sharp", "--hints", "--margin", "arcface")
    student = run(train_recognizer, "student", *options)
    assert {"embedding", "contrast", "quality", "stages", "margin"} <= set(columns(student))
    state = torch.load(student / "state.pt", weights_only=True)
    assert any(name.startswith("hints") for name in state["auxiliary"]) and not any("hints" in name for name in state["net"])
    assert load_averaged(student, NETWORKS).with_features(torch.zeros(1, 3, 64, 64))[0].shape == (1, 256)


def test_small_faces_super_resolved_and_morphs_of_several_folders(run, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for number, name in enumerate(("first", "second")):
        (tmp_path / name).mkdir()
        rng = np.random.default_rng(number)
        np.save(tmp_path / name / "images.npy", rng.integers(0, 256, (5, 128, 128, 3), np.uint8))
        np.save(tmp_path / name / "vectors.npy", np.eye(5, 256, dtype=np.float32))
        (tmp_path / name / "command.txt").write_text(f"made {name}")
    run(train_recognizer, "first-run")
    out = run(train_recognizer, "on", "--restored", "--morphs", "@first", "@second", "--start", "@first-run", batch=12)
    assert {"embedding", "contrast"} <= set(columns(out))
    assert provenance_of(out).commands[1:3] == ["made first", "made second"] and "--restored" in provenance_of(out).commands[3]


def test_chips_without_the_strong_teachers_vectors_name_the_way_out(run, data) -> None:  # type: ignore[no-untyped-def]
    vectors = data / "chips" / "edgeface_xs.npy"
    away = vectors.rename(vectors.with_suffix(".away"))
    try:
        with pytest.raises(SystemExit, match="embeddings are missing; train on labels with --no-embedding"):
            run(train_recognizer, "no-vectors")
    finally:
        away.rename(vectors)


@pytest.mark.parametrize("look", ["fskd-nearest", "fskd-any-kernel"])
def test_the_papers_own_network_without_the_strong_teacher(run, look: str) -> None:  # type: ignore[no-untyped-def]
    options = ("--network", "iresnet18", "--cbam", "--pooled", "--no-embedding", "--margin", "cosface", "--look", look)
    out = run(train_recognizer, look, *options, batch=2)
    assert {"margin"} <= set(columns(out)) and "embedding" not in columns(out)
    assert load_averaged(out, NETWORKS).dim == 512


class Own(torch.nn.Module):
    """A network of somebody else, with stage features."""

    side, widths, dim = 32, (4, 6), 16

    def __init__(self) -> None:
        super().__init__()
        self.stages = torch.nn.ModuleList([torch.nn.Conv2d(3, 4, 3, 4), torch.nn.Conv2d(4, 6, 3, 2)])
        self.last = torch.nn.Linear(6, 16)

    def with_features(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        first = self.stages[0](x)
        second = self.stages[1](first)
        return self.last(second.mean((2, 3))), [first, second]


def test_a_network_and_a_teacher_of_your_own(run) -> None:  # type: ignore[no-untyped-def]
    teacher = ("--embedding-teacher", str(WEIGHTS / "recognizer.safetensors"))
    out = run(train_recognizer, "own", "--network", f"{__name__}:Own", *teacher)
    assert {"embedding", "contrast"} <= set(columns(out)) and load_averaged(out, {"Own": Own}).dim == 16
    followed = run(train_recognizer, "followed", "--network", f"{__name__}:Own", "--teacher", "@own", *teacher)
    assert "stages" in columns(followed)
    assert provenance_of(run(train_recognizer, "on", "--start", "@own", "--network", f"{__name__}:Own", *teacher)).samples == 16
    with pytest.raises(SystemExit, match=r"tests.fakes:Pass lacks dim, side, widths, with_features"):
        run(train_recognizer, "x", "--network", "tests.fakes:Pass")
    with pytest.raises(SystemExit, match="cannot read the weights"):
        run(train_recognizer, "x", "--embedding-teacher", "none.safetensors")


def test_a_network_of_your_own_runs_in_the_pipeline(run, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    pytest.importorskip("onnxscript")
    trained, file = run(train_recognizer, "mine", "--network", f"{__name__}:Own"), tmp_path / "mine.onnx"
    options = ("--network", f"{__name__}:Own", "--out", str(file))
    monkeypatch.setattr(sys, "argv", ["publish_onnx", "--run", str(trained), *options])
    publish_onnx.main()
    embedder = load_recognizer(file, "cpu")
    assert embedder.dim == 16 and "--network" in embedder.card["command"] and embedder.card["trained"]["samples"] == 8
    pictures = np.random.default_rng(0).standard_normal((3, 3, 32, 32)).astype(np.float32)
    (found,) = pytest.importorskip("onnxruntime").InferenceSession(str(file)).run(None, {"pictures": pictures})
    assert np.abs(found - load_averaged(trained, {"Own": Own}).with_features(torch.from_numpy(pictures))[0].numpy()).max() < 1e-4
    monkeypatch.setattr(sys, "argv", ["publish_onnx", "--run", str(trained), "--out", str(file)])
    with pytest.raises(SystemExit, match="a run of Own, not of Recognizer or IResNet"):
        publish_onnx.main()


def test_a_deeper_network_begins_as_the_one_it_grew_from(run) -> None:  # type: ignore[no-untyped-def]
    run(train_recognizer, "less")
    grown = run(train_recognizer, "grown", "--start", "@less", "--depths", "3", "4", "2")
    assert provenance_of(grown).architecture == {"depths": [3, 4, 2]}
    same = run(train_recognizer, "same", "--start", "@grown")
    assert len(load_averaged(same, {"Recognizer": Recognizer}).stages[1]) == 4
    with pytest.raises(SystemExit, match=r"fewer blocks: stages\.1\.2"):
        run(train_recognizer, "x", "--start", "@grown", "--depths", "3", "2", "2")


def test_partners_are_other_pictures_of_the_same_people(data) -> None:  # type: ignore[no-untyped-def]
    chips = load_chips(data, data)
    numbers = identity_labels(chips).numpy()
    assert len(set(numbers)) == 24 and numbers.min() == 0
    doubled = np.concatenate([numbers, numbers, np.full(9, -1), [99]])  # nobody, and somebody seen once
    rows = choose_pairs(np.arange(len(doubled)), doubled, 12, np.random.default_rng(0))
    assert (doubled[rows[:6]] == doubled[rows[6:]]).all() and (doubled[rows] >= 0).all() and (doubled[rows] != 99).all()
    assert (rows[:6] != rows[6:]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hints",), "--teacher RUN is needed"),
        (("--no-embedding",), "nothing to learn from"),
        (("--restored", "--look", "fskd-nearest"), "no chip at a resolution level"),
        (("--restored", "--role", "teacher"), "sees sharp ones only"),
        (("--morphs", "@none"), "holds no morphs"),
        (("--morphs", "@none", "--embedding-teacher", "@none"), "hold embeddings of EdgeFace-XS"),
        (("--network", "large"), "must be small, iresnet18"),
    ],
)
def test_options_that_leave_nothing_to_learn_are_refused(run, options: tuple[str, ...], message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SystemExit, match=message):
        run(train_recognizer, "x", *options)
