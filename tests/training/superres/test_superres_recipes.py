"""The super-resolution recipes from command to weights, on the project's own faces and for a few steps."""

import signal

import cv2
import numpy as np
import pytest
import torch

from evaluation import superres
from evaluation.lfw import enlarge
from evaluation.metrics import luma, ssim
from evaluation.superres import Evaluator, Model, load_run
from models.networks.superres import SuperResNet
from tests.faces68 import landmarks68
from training.common.degradations import pfsr_bilinear_chain
from training.common.ssim import luma_ssim
from training.data.priors import parsing_maps
from training.papers import pfsr as train_pfsr
from training.papers import pkdn as train_pkdn
from training.papers.pfsr import critic_loss, downsample_chain, generator_loss, normalise, progressive_step
from training.recognizer.feature_similarity import feature_distance
from training.superres import train as train_superres
from training.superres.distillation import Distillation


def test_the_shipped_recipe(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    run(train_superres, "plain", "--no-identity")
    run(train_superres, "teacher", "--role", "teacher", "--start", "@plain")
    student = run(train_superres, "student", "--start", "@plain", "--teacher", "@teacher", "--features", "cosine")
    header = (student / "log.csv").read_text().splitlines()[0]
    assert all(term in header for term in ("pixel", "attention", "output", "features", "identity"))
    points = np.stack([landmarks68()] * 2)
    (model,), (teacher, misled) = load_run("s", student), load_run("t", student.parent / "teacher")
    assert teacher.name == "t^" and model.name == "s"  # upper bounds are marked
    told: list[np.ndarray] = []
    monkeypatch.setattr(superres, "parsing_maps", lambda of: told.append(of) or parsing_maps(of))
    for one in (teacher, misled):
        one.upscale(np.full((2, 16, 16, 3), 99, np.uint8), points * [[[1]], [[0.8]]])
    assert np.array_equal(told[0][::-1], told[1]) and not np.array_equal(told[0], told[1])
    for side in model.sides:
        assert model.upscale(np.full((2, side, side, 3), 99, np.uint8), points).shape == (2, 128, 128, 3)


def test_what_is_measured_can_be_learned(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    asked: list[int] = []
    monkeypatch.setattr(train_superres, "frozen_edgeface", lambda *_: lambda chips: asked.append(1) or chips.flatten(1))
    student = run(train_superres, "student", "--psnr", "0.5", "--judge", "edgeface.safetensors", "--identity", "0.01")
    header, row = ((student / "log.csv").read_text().splitlines()[line].split(",") for line in (0, 1))
    assert len(asked) == 4  # twice at x8 in each of two steps
    found = dict(zip(header, map(float, row), strict=True))
    assert found["identity1"] > 0 > found["pixel"] > -0.2  # of two steps one by L1, one by dB

    rng = np.random.default_rng(0)
    one = cv2.GaussianBlur(rng.integers(0, 256, (64, 64, 3), np.uint8), (0, 0), 2)
    other = np.clip(one + rng.normal(0, 8, one.shape), 0, 255).astype(np.uint8)
    both = (torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255 for picture in (one, other))
    assert float(luma_ssim(*both)) == pytest.approx(ssim(luma(one), luma(other)), abs=1e-3)


def test_a_teacher_starts_as_good_as_the_network_it_started_from() -> None:
    torch.manual_seed(0)
    plain, teacher = SuperResNet(), SuperResNet(regions=6)
    teacher.load_state_dict(plain.state_dict(), strict=False)
    chips, parsing = torch.rand(2, 3, 16, 16), torch.rand(2, 6, 128, 128)
    assert torch.equal(plain.eval()(chips), teacher.eval().with_features(chips, parsing)[0][-1])


def test_a_pkdn_run_trains_teacher_and_student(run) -> None:  # type: ignore[no-untyped-def]
    run(train_pkdn, "teacher", "--role", "teacher", batch=2)
    student = run(train_pkdn, "student", "--teacher", "@teacher", batch=2)
    (model,) = load_run("pkdn", student)
    assert (
        model.sides == (16,)
        and model.upscale(np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 68, 2), np.float32)).shape[1] == 128
    )


def test_a_pfsr_run_with_32_pixel_output_trains(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(train_pfsr, "STEP_SHARES", (1.0, 0.0, 0.0))  # the later steps of these networks cost ten times as much
    run(train_pfsr, "marks", "landmarks", batch=2)
    assert load_run("pfsr", run(train_pfsr, "pfsr", "generator", "--landmarks", "@marks", batch=2))[0].sides == (16,)


class Generator(torch.nn.Module):
    """In the place of PFSR's: enlarged, and the colours mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = torch.nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor, step: int = 3, fade: float = 1.0) -> torch.Tensor:
        large = torch.nn.functional.interpolate(x, scale_factor=2.0**step)
        return (1 - fade) * large + fade * self.mix(large)


class Critic(torch.nn.Module):
    """In the place of PFSR's: how much there is of what it looks for."""

    def __init__(self) -> None:
        super().__init__()
        self.look = torch.nn.Conv2d(3, 4, 3, 2)

    def forward(self, picture: torch.Tensor, step: int = 3, fade: float = 1.0) -> torch.Tensor:
        return torch.nn.functional.softplus(self.look(picture)).mean((1, 2, 3))


def test_pfsr_stopped_and_gone_on_with_is_an_unbroken_run(run, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    for name, network in (("Generator", Generator), ("Critic", Critic)):
        monkeypatch.setattr(train_pfsr, name, network)
    monkeypatch.setattr(
        train_pfsr, "progressive_step", lambda progress: (2 + round(2 * progress), 0.5)
    )  # one iteration each at 64 and 128 pixels
    run(train_pfsr, "marks", "landmarks", batch=2)
    options = ("generator", "--landmarks", "@marks")
    whole = run(train_pfsr, "whole", *options, batch=2)
    with monkeypatch.context() as patch:
        patch.setattr(
            train_pfsr,
            "update_critic",
            lambda *a, teach=train_pfsr.update_critic: (teach(*a), signal.raise_signal(signal.SIGTERM)),
        )
        with pytest.raises(SystemExit, match="stopped at step 1 of 2"):
            run(train_pfsr, "parts", *options, batch=2)
    parts = run(train_pfsr, "parts", *options, batch=2)
    assert {"attended", "heat"} <= set((parts / "log.csv").read_text().splitlines()[0].split(","))
    one, other = (torch.load(folder / "state.pt", weights_only=True) for folder in (whole, parts))
    assert one["step"] == other["step"] == 2
    for name, weights in [*one["rival"][0].items(), *one["net"].items()]:
        assert torch.allclose(weights, (other["rival"][0] | other["net"])[name], atol=1e-6), name


def test_each_step_fades_in_over_an_eighth_of_the_run() -> None:
    assert progressive_step(0.0) == (1, 0.0) and progressive_step(0.2475)[0] == 1
    assert progressive_step(0.25) == (2, 0.0) and progressive_step(0.375) == (2, 1.0)
    assert progressive_step(0.5) == (3, 0.0) and progressive_step(0.5625) == (3, 0.5) and progressive_step(0.625) == (3, 1.0)


@pytest.mark.parametrize("side", [16, 32, 64])
def test_pfsr_learns_from_the_degradation_it_is_measured_on(chips: np.ndarray, side: int) -> None:
    rng = np.random.default_rng(0)
    learned = downsample_chain(torch.from_numpy(chips).permute(0, 3, 1, 2).float(), side).permute(0, 2, 3, 1).numpy()
    measured = np.stack([pfsr_bilinear_chain(chip, side, rng) for chip in chips])
    assert np.abs(learned - measured).max() < 2  # of 255, by rounding; one step to 16 or 32 differs by 8 and more


def test_heat_maps_are_normalised_by_their_own_extremes() -> None:
    maps = torch.tensor([[[[2.0, 4.0]]], [[[0.0, 8.0]]]])
    assert normalise(maps, (1, 2, 3)).flatten().tolist() == [0, 1, 0, 1]
    assert normalise(maps, (0, 1, 2, 3)).flatten().tolist() == [0.25, 0.5, 0, 1]


@pytest.mark.parametrize(
    ("side", "expected"),  # pixel 10, VGG, attention, heat maps, critic: each term times its weight in the released code
    [
        (32, 10 * 0.5 + 0.01 * 7 - 1 * 3),
        (64, 10 * 0.5 + 0.01 * 7 + 500 * 0.25 + 50 * 1 - 1 * 3),
        (128, 10 * 0.5 + 0.001 * 7 + 50 * 0.25 + 50 * 1 - 0.1 * 3),
    ],
)
def test_the_generators_loss_by_hand(side: int, expected: float) -> None:
    real = torch.zeros(2, 3, side, side)
    fake = real + 0.5

    def landmarks(pictures: torch.Tensor) -> torch.Tensor:
        """One map, of the upper half for what is real and of the lower half for what is not."""
        maps = torch.zeros(2, 1, side, side)
        maps[:, :, : side // 2] = 1
        return maps if float(pictures.mean()) == 0.5 else maps.flip(2)

    seven, three = torch.tensor(7.0), torch.tensor([2.0, 4.0])
    loss, parts = generator_loss(fake, real, landmarks, lambda a, b: seven * (b.mean() == 0.5), three)
    assert float(loss) == pytest.approx(expected) and float(parts["l1"]) == 0.5
    alone, _ = generator_loss(fake, real, landmarks, None, None)
    assert float(loss - alone) == pytest.approx((0.001 if side == 128 else 0.01) * 7 - (0.1 if side == 128 else 1) * 3, abs=1e-4)


def test_the_critics_loss_by_hand() -> None:
    def critic(pictures: torch.Tensor, step: int, fade: float) -> torch.Tensor:
        return 3 * pictures.flatten(1).sum(1)  # its gradient is 3 everywhere: a length of 6 over four pixels

    fake, real = torch.full((2, 1, 2, 2), 0.5), torch.ones(2, 1, 2, 2)
    loss = critic_loss(critic, fake, real, 1, 1.0, torch.rand(2, 1, 1, 1))  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(6 - 12 + 0.001 * 12**2 + 10 * (6 - 1) ** 2)


def test_feature_distances_by_hand() -> None:
    a, b = [torch.tensor([[1.0, 0.0], [0.0, 2.0]])], [torch.tensor([[1.0, 0.0], [2.0, 0.0]])]
    assert float(feature_distance("l1", a, b)) == 1.0
    assert float(feature_distance("cosine", a, b)) == 0.5


def test_the_comparison_prefers_the_network_with_the_smaller_distance(chips: np.ndarray) -> None:
    judge = Evaluator(chips, None, lpips=False)
    small = [np.stack([cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in chips]) for side in (16, 64)]
    bicubic = Model("bicubic", lambda c, _: enlarge(c))
    worse, better = (judge(bicubic.upscale(s, np.zeros((8, 68, 2), np.float32))) for s in small)
    assert all(better[key] > worse[key] for key in ("db", "ssim", "rgb_db", "rgb_ssim", "id"))
    assert judge(chips)["db"] == 99 and judge(chips)["id"] > 0.999


def test_distillation_fades_and_then_leaves_the_teacher_alone() -> None:
    class Teacher:
        asked = 0

        def with_features(self, x: torch.Tensor, parsing: torch.Tensor | None) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
            self.asked += 1
            return [x + 1], [x + 2]

    teacher, x = Teacher(), torch.zeros(1, 3, 4, 4)
    distil = Distillation(teacher, "l1")
    found = [distil(progress, x, None, x, [x]) for progress in (0, 0.4, 0.8, 0.99)]
    assert [float(f.get("features", 0)) for f in found] == [20, 10, 0, 0] and teacher.asked == 2
    assert float(found[0]["output"]) == pytest.approx(0.1)
    assert "features" not in Distillation(teacher, "none")(0, x, None, x, [x])
