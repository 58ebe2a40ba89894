"""The super-resolution recipes from command to weights, on the project's own faces and for a few steps."""

import cv2
import numpy as np
import torch

from evaluation.lfw import enlarge
from evaluation.superres import Judge, Model, trained
from tests.faces68 import landmarks68
from training import train_pfsr, train_pkdn, train_superres
from training.distillation import feature_distance
from training.train_pfsr import normalised, step_of


def test_the_shipped_recipe(run) -> None:  # type: ignore[no-untyped-def]
    run(train_superres, "plain", "--no-identity")
    run(train_superres, "teacher", "--role", "teacher", "--start", "@plain")
    student = run(train_superres, "student", "--start", "@plain", "--teacher", "@teacher", "--features", "cosine")
    header = (student / "log.csv").read_text().splitlines()[0]
    assert all(term in header for term in ("pixel", "attention", "output", "features", "identity"))
    points = np.stack([landmarks68()] * 2)
    model, teacher = trained("s", student), trained("t", student.parent / "teacher")
    assert teacher.name == "t^" and model.name == "s"  # upper bounds are marked
    for side in model.sides:
        assert model.upscale(np.full((2, side, side, 3), 99, np.uint8), points).shape == (2, 128, 128, 3)


def test_pkdn(run) -> None:  # type: ignore[no-untyped-def]
    run(train_pkdn, "teacher", "--role", "teacher", batch=2)
    student = run(train_pkdn, "student", "--teacher", "@teacher", batch=2)
    model = trained("pkdn", student)
    assert (
        model.sides == (16,)
        and model.upscale(np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 68, 2), np.float32)).shape[1] == 128
    )


def test_pfsr_with_its_critic_goes_on_where_it_stopped(run) -> None:  # type: ignore[no-untyped-def]
    run(train_pfsr, "marks", "landmarks", batch=2)
    out = run(train_pfsr, "pfsr", "generator", "--landmarks", "@marks", "--samples", "2", batch=2)
    state = torch.load(out / "state.pt", weights_only=True)
    assert state["step"] == 1 and len(state["rival"]) == 2
    run(train_pfsr, "pfsr", "generator", "--landmarks", "@marks", "--samples", "4", batch=2)
    again = torch.load(out / "state.pt", weights_only=True)
    assert again["step"] == 2
    assert not torch.equal(again["rival"][0]["head.3.weight"], state["rival"][0]["head.3.weight"])
    assert trained("pfsr", out).sides == (16,)


def test_steps_fade_in_over_their_first_half() -> None:
    assert step_of(0, 400) == (1, 0.0) and step_of(99, 400)[0] == 1
    assert step_of(100, 400) == (2, 0.0) and step_of(150, 400) == (2, 1.0)
    assert step_of(200, 400) == (3, 0.0) and step_of(250, 400) == (3, 0.5) and step_of(399, 400) == (3, 1.0)


def test_heat_maps_are_normalised_by_their_own_extremes() -> None:
    maps = torch.tensor([[[[2.0, 4.0]]], [[[0.0, 8.0]]]])
    assert normalised(maps, (1, 2, 3)).flatten().tolist() == [0, 1, 0, 1]
    assert normalised(maps, (0, 1, 2, 3)).flatten().tolist() == [0.25, 0.5, 0, 1]


def test_feature_distances_by_hand() -> None:
    a, b = [torch.tensor([[1.0, 0.0], [0.0, 2.0]])], [torch.tensor([[1.0, 0.0], [2.0, 0.0]])]
    assert float(feature_distance("l1", a, b)) == 1.0
    assert float(feature_distance("cosine", a, b)) == 0.5


def test_the_judge_prefers_what_is_nearer(chips: np.ndarray) -> None:
    judge = Judge(chips, None, lpips=False)
    small = [np.stack([cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in chips]) for side in (16, 64)]
    bicubic = Model("bicubic", lambda c, _: enlarge(c))
    worse, better = (judge(bicubic.upscale(s, np.zeros((8, 68, 2), np.float32))) for s in small)
    assert all(better[key] > worse[key] for key in ("db", "ssim", "rgb_db", "rgb_ssim", "id"))
    assert judge(chips)["db"] == 99 and judge(chips)["id"] > 0.999
