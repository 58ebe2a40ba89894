"""Train PFSR (arXiv 1908.08239) by the authors' recipe: first the landmark network, then the generator with a critic.

    python -m training.papers.pfsr landmarks --data DATA --out runs/pfsr-landmarks                         # 2 cores, 40 min
    python -m training.papers.pfsr generator --data DATA --out runs/pfsr --landmarks runs/pfsr-landmarks
    python -m training.papers.pfsr generator ... --no-critic                                         # the same without GAN
    python -m training.papers.pfsr generator ... --vgg vgg16.pth                                     # with the perceptual term

`landmarks`: the paper distils a FAN. Here the targets are Gaussian heat maps (64 pixels) at the chips' 68 landmarks, which come
from a dense face mesh.

`generator`: progressive growing 16 -> 32 -> 64 -> 128 of generator and critic, the six loss terms with their weights at each
step, WGAN-GP, and the bilinear chain as degradation. Each step fades in over an eighth of all iterations. The three steps take a
quarter, a quarter and a half of the iterations (paper: 50,000, 50,000 and 100,000 with batches of 16). The perceptual term needs
VGG16's ImageNet weights (torchvision's file), which this project does not ship. Without ``--vgg`` the term is left out.

Where the released code deviates from the paper, the paper is followed: heat maps are normalised by their own minimum and
maximum, and the landmark network is in evaluation mode. As in the code, attention is normalised over the batch, and the
generator is updated before the critic on the same batch. Differences: the evaluated generator is the weight average of the last
iterations; the landmark network trains at 1e-3 with warm-up, decay, gradients clipped at 5 (paper: 1e-4) and mirror images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.pfsr import SIDES, Critic, Generator, HeatMapNet
from models.runtime.devices import autocast
from training.common.loop import Adversary
from training.common.plan import Plan, plan
from training.common.runs import load_averaged
from training.data.chips import ChipSet, load_chips
from training.data.priors import heat_maps
from training.superres.inputs import PairMaker

PRESETS: dict[str, dict[str, Any]] = {  # `gpu` takes about an hour
    "cpu": {"samples": 12_000, "batch": 16, "lr": 1e-3},
    "gpu": {"samples": 240_000, "batch": 16, "lr": 1e-3},
    "paper": {"samples": 3_200_000, "batch": 16, "lr": 1e-3},
}
# Weights of the loss at 32, 64 and 128 pixels (released training code, September 2019).
PIXEL = {32: 10.0, 64: 10.0, 128: 10.0}
ADVERSARIAL = {32: 1.0, 64: 1.0, 128: 0.1}
PERCEPTUAL = {32: 0.01, 64: 0.01, 128: 0.001}
ATTENTION = {32: 0.0, 64: 500.0, 128: 50.0}
HEAT_MAPS = {32: 0.0, 64: 50.0, 128: 50.0}
GRADIENT_PENALTY, DRIFT = 10.0, 0.001
STEP_SHARES = (0.25, 0.25, 0.5)
Picture = Callable[[Tensor], Tensor]
VGG_LAYERS = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3, relu4_3
VGG_WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512)  # 0: pooling


def progressive_step(progress: float) -> tuple[int, float]:
    """Return the growth step (1 to 3) at ``progress`` 0..1 of the run, and its fade-in 0..1."""
    start = 0.0
    for step, share in enumerate(STEP_SHARES, 1):
        if progress < start + share or step == len(STEP_SHARES):
            return step, min(1.0, 2 * (progress - start) / STEP_SHARES[0])
        start += share
    raise AssertionError


def normalise(maps: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Scale maps to 0..1 by their minimum and maximum over ``dims``."""
    low, high = maps.amin(dims, keepdim=True), maps.amax(dims, keepdim=True)
    return (maps - low) / (high - low).clamp_min(1e-6)


class Perceptual(nn.Module):
    """MSE between VGG16 features of two images in [0, 1], summed over four layers, without ImageNet normalisation."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inner = 3
        for width in VGG_WIDTHS:
            layers += [nn.Conv2d(inner, width, 3, 1, 1), nn.ReLU()] if width else [nn.MaxPool2d(2)]
            inner = width or inner
        self.features = nn.Sequential(*layers)
        state = {k: v for k, v in torch.load(weights, weights_only=True).items() if k.startswith("features.")}
        self.load_state_dict({k: v for k, v in state.items() if k in self.state_dict()})
        self.requires_grad_(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        total = torch.zeros((), device=a.device)
        for index, layer in enumerate(self.features):
            a, b = layer(a), layer(b)
            if index in VGG_LAYERS:
                total = total + F.mse_loss(a, b)
        return total


def train_landmarks(job: Plan, chips: ChipSet, rows: np.ndarray) -> None:
    """Train the landmark network on chips that have landmarks."""
    rows = rows[chips.landmarks68()[rows].any((1, 2))]
    net = HeatMapNet().to(job.device, memory_format=torch.channels_last)
    run = job.run(net)
    pairs = PairMaker(chips, rows, job.device, parsing=False, plain=True)
    while not run.done:
        given = pairs.draw(16, job.batch, int(run.rng(run.step).integers(2**31)))
        with autocast(job.device):
            maps = net(F.avg_pool2d(given.sharp, 2))
        run.update(((maps.float() - heat_maps(given.points, 64)) ** 2).mean() * 100)


def downsample_chain(pictures: Tensor, side: int) -> Tensor:
    """Halve images (N, 3, S, S) repeatedly down to ``side`` (`training.common.degradations.pfsr_bilinear_chain`)."""
    while pictures.shape[-1] > side:
        pictures = F.interpolate(pictures, scale_factor=0.5, mode="bilinear", antialias=True)
    return pictures


def generator_loss(
    fake: Tensor, real: Tensor, landmarks: Picture, perceptual: Callable[[Tensor, Tensor], Tensor] | None, judged: Tensor | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the loss of the generator.

    Args:
        fake: generated images (N, 3, S, S) in [-1, 1].
        real: sharp images of the same shape.
        landmarks: computes heat maps of images in [0, 1].
        perceptual: perceptual loss of two images in [0, 1], or None.
        judged: the critic's output for ``fake``, or None.

    Returns:
        The weighted sum of the six terms, with the weights of side S, and terms for the log.
    """
    side, error = fake.shape[-1], (fake - real).abs()
    parts = {"l1": error.mean()}
    loss = PIXEL[side] * parts["l1"]
    if perceptual is not None:
        loss = loss + PERCEPTUAL[side] * perceptual((fake + 1) / 2, (real + 1) / 2)
    if HEAT_MAPS[side]:
        of_fake, of_real = (normalise(landmarks((x + 1) / 2).float(), (1, 2, 3)) for x in (fake, real))
        attention = normalise(of_real.amax(1, keepdim=True), (0, 1, 2, 3))
        parts |= {"attended": (attention * error).mean(), "heat": F.mse_loss(of_fake, of_real)}
        loss = loss + ATTENTION[side] * parts["attended"] + HEAT_MAPS[side] * parts["heat"]
    if judged is not None:
        loss = loss - ADVERSARIAL[side] * judged.float().mean()
    return loss, parts


def critic_loss(critic: nn.Module, fake: Tensor, real: Tensor, step: int, fade: float, mix: Tensor) -> Tensor:
    """WGAN-GP loss with drift; the two-sided gradient penalty is taken at images mixed by ``mix`` (N, 1, 1, 1)."""
    real_score = critic(real, step, fade)
    between = (mix * real + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between, step, fade).sum(), between, create_graph=True)
    penalty = ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()
    return critic(fake, step, fade).mean() - real_score.mean() + DRIFT * (real_score**2).mean() + GRADIENT_PENALTY * penalty


def update_critic(adversary: Adversary, fake: Tensor, real: Tensor, step: int, fade: float, mix: Tensor) -> None:
    """Take one optimiser step of the critic."""
    adversary.net.requires_grad_(True)
    loss = critic_loss(adversary.net, fake, real, step, fade, mix)
    adversary.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    adversary.optimizer.step()


def train_generator(job: Plan, chips: ChipSet, rows: np.ndarray) -> None:
    """Train the generator, with a critic unless ``--no-critic`` is given."""
    args, device = job.args, job.device
    if args.landmarks is None:
        raise SystemExit("--landmarks RUN is needed: train them first with `landmarks`")
    net = Generator().to(device, memory_format=torch.channels_last)
    critic = Critic().to(device, memory_format=torch.channels_last)
    landmarks = load_averaged(args.landmarks, {"HeatMapNet": HeatMapNet}).to(device)
    perceptual = Perceptual(args.vgg).to(device) if args.vgg else None
    if perceptual is None:
        print("without the perceptual term: no --vgg")
    optimizer = torch.optim.Adam(critic.parameters(), lr=job.preset["lr"], betas=(0.0, 0.99))
    adversary = None if args.no_critic else Adversary(critic, optimizer)
    run = job.run(net, adversary=adversary, betas=(0.0, 0.99), constant=True, clip=math.inf)

    def heat(pictures: Tensor) -> Tensor:
        with autocast(device):
            maps: Tensor = landmarks(pictures)
        return maps

    pairs = PairMaker(chips, rows, device, parsing=False, plain=True)
    while not run.done:
        rng, (step, fade) = run.rng(run.step), progressive_step(run.progress)
        sharp = pairs.draw(16, job.batch, int(rng.integers(2**31))).sharp * 2 - 1
        x, y = (downsample_chain(sharp, side).contiguous(memory_format=torch.channels_last) for side in (16, SIDES[step - 1]))
        mix = torch.from_numpy(rng.random((job.batch, 1, 1, 1), np.float32)).to(device)
        with autocast(device):
            fake = net(x, step, fade)
        fake = fake.float()
        critic.requires_grad_(False)  # no gradients for the critic in the generator's step
        with autocast(device):
            judged = critic(fake, step, fade) if adversary else None
        loss, parts = generator_loss(fake, y, heat, perceptual, judged)
        run.update(
            loss, then=partial(update_critic, adversary, fake.detach(), y, step, fade, mix) if adversary else None, **parts
        )


def main() -> None:
    job = plan(
        __doc__,
        PRESETS,
        what={"choices": ("landmarks", "generator"), "positional": True},
        landmarks={"type": Path, "help": "run of the landmark network, for the generator"},
        vgg={"type": Path, "help": "torchvision's VGG16 weights, for the perceptual term"},
        no_critic={"action": "store_true", "help": "leave the adversarial term out"},
    )
    chips = load_chips(job.args.data, job.args.cache)
    rows = chips.rows_with_detail(dev=False)
    (train_landmarks if job.args.what == "landmarks" else train_generator)(job, chips, rows)


if __name__ == "__main__":
    main()
