"""Generate synthetic identities in batches on the training device, by the method of `training.data.morphs`; no face repeats.

Differences for a GPU: every face has three parents, of which absent ones have weight 0, and the warp is smooth (kernel
interpolation of the landmark shifts, one small Cholesky factorisation a face) in place of triangles. The teacher embeds each face
when it is generated, so more variation is
possible: mirror images, light from one side, exposure, and offsets along the principal axes of appearance as well as of shape.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.chip import CHIP
from training.data.chips import ChipSet
from training.data.morphs import CANDIDATES, CONTRAST, FACE, FRAME, PARENTS, PATCHES, STEP, ShapeModel, sampling_weights

REACH, RIDGE = 40.0, 0.01  # length scale of the kernel in pixels; ridge, as points may coincide
TURN, STRETCH, SHIFT = 2.0, 0.03, 1.0  # standard deviations of rotation (degrees), stretch and shift (pixels)
GAMMA, TINT, COLOUR = 0.2, 0.04, (0.6, 1.2)  # standard deviations of log exposure and log tint; range of saturation
SIDELIGHT = 0.2  # standard deviation of log light across the face
APPEARANCE_AXES, APPEARANCE_CHIPS, SIDE = (
    40,
    2048,
    32,
)  # principal axes of appearance, chips they are computed from, side they are computed at
MAX_SHAPE_STD, MAX_APPEARANCE_STD = (
    1.4,
    0.8,
)  # largest offsets along the axes of shape and appearance, in standard deviations
MAX_AXIS_STD = 2.0  # standard deviations along any axis
CELLS = CHIP // STEP + 1  # grid points of the warp per side
AT_ONCE = 256


@functools.cache
def _places(device: torch.device) -> tuple[Tensor, Tensor]:
    """Fixed points (1, F, 2) on the border, and grid points (1, CELLS * CELLS, 2) of the warp."""
    ticks = torch.linspace(0, CHIP - 1, CELLS)
    grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).reshape(1, -1, 2)
    return torch.from_numpy(FRAME)[None].to(device), grid.to(device)


def matern_kernel(distance: Tensor) -> Tensor:
    """The Matern kernel with smoothness 3/2 of a distance in pixels; length scale `REACH`."""
    near = 3**0.5 / REACH * distance
    return (1 + near) * torch.exp(-near)


def interpolate_shifts(target: Tensor, shifts: Tensor, at: Tensor) -> Tensor:
    """Interpolate shifts by kernel ridge regression.

    Args:
        target: points (N, P, 2) with known shifts.
        shifts: their shifts (N, P, D).
        at: points (N, Q, 2) to interpolate at.

    Returns:
        (N, Q, D).
    """
    alike = matern_kernel(torch.cdist(target, target, compute_mode="donot_use_mm_for_euclid_dist"))
    alike = alike + RIDGE * torch.eye(alike.shape[1], device=alike.device)
    lower, _ = torch.linalg.cholesky_ex(alike)  # unchecked: a check would synchronise with the GPU
    half = torch.linalg.solve_triangular(lower, shifts, upper=False)
    weights = torch.linalg.solve_triangular(lower.mT, half, upper=True)
    return matern_kernel(torch.cdist(at, target, compute_mode="donot_use_mm_for_euclid_dist")) @ weights


def warp_to_shape(pictures: Tensor, sources: Tensor, target: Tensor, move: Tensor) -> Tensor:
    """Warp images to a shape.

    Args:
        pictures: K images of each of N faces (N, K, 3, 128, 128).
        sources: their landmarks (N, K, 68, 2).
        target: landmarks (N, 68, 2) they are warped to.
        move: matrices (N, 2, 3) from output to target pixels, applied on top.

    Returns:
        (N, K, 3, 128, 128).
    """
    n, k = pictures.shape[:2]
    frame, grid = _places(target.device)
    shifts = F.pad((sources - target[:, None]).permute(0, 2, 1, 3).flatten(2), (0, 0, 0, len(FRAME)))
    there = grid @ move[:, :, :2].mT + move[:, None, :, 2]
    from_where = there[:, :, None] + interpolate_shifts(torch.cat([target, frame.expand(n, -1, -1)], 1), shifts, there).unflatten(
        2, (k, 2)
    )
    coarse = from_where.permute(0, 2, 3, 1).reshape(n * k, 2, CELLS, CELLS)
    full = F.interpolate(coarse, (CHIP, CHIP), mode="bilinear", align_corners=True)
    places = (full + 0.5).permute(0, 2, 3, 1) * (2 / CHIP) - 1
    found = F.grid_sample(pictures.flatten(0, 1), places, padding_mode="border", align_corners=False)
    return found.unflatten(0, (n, k))


def identity_matrices(n: int, device: torch.device | str) -> Tensor:
    """Identity matrices (N, 2, 3)."""
    return torch.eye(2, 3, device=device).expand(n, 2, 3)


class MorphSampler:
    """Samples synthetic identities from the training chips.

    Args:
        chips: the chip set. Only training rows with landmarks are used.
        device: ``cpu`` or ``cuda``; the chips are copied to its memory.
        generator: random generator on that device.
    """

    def __init__(self, chips: ChipSet, device: str, generator: torch.Generator) -> None:
        points = chips.landmarks68()
        rows = np.flatnonzero(chips.train & points.any((1, 2)))
        people, numbers = np.unique(chips.identity[rows], return_inverse=True)
        numbers = np.where(people[numbers] == "", -1, numbers)
        alone = np.where(numbers < 0, len(people) + np.arange(len(rows)), numbers)
        self.generator, self.people = generator, len(people)
        self._person = torch.from_numpy(numbers).to(device)
        self._cumulated = torch.from_numpy(np.cumsum(sampling_weights(alone.astype(str)))).to(device)
        self._images = torch.from_numpy(chips.images[rows]).to(device).permute(0, 3, 1, 2).contiguous()
        self._points = torch.from_numpy(points[rows]).to(device)
        self._vectors = torch.from_numpy(chips.teacher_embeddings()[rows]).to(device)
        self._axes = torch.from_numpy(ShapeModel(points[rows]).axes).float().to(device)
        spreads = [[np.deg2rad(TURN)], [np.deg2rad(TURN)], [STRETCH], [STRETCH]]
        self._spreads = torch.tensor(spreads, dtype=torch.float32, device=device)
        self._fewer = torch.tensor(np.cumsum([0, *PARENTS[:-1]]), dtype=torch.float32, device=device)
        self._middle = self._points.mean(0)
        self._looks = self._axes_of_looks()

    def sample(self, number: int, real: int = 0) -> tuple[Tensor, Tensor]:
        """Sample faces.

        Args:
            number: number of faces.
            real: number of faces, placed first, that are unmorphed chips with changed lighting.

        Returns:
            Faces float (number, 3, 128, 128) RGB in 0..255, and identity numbers (number,); each morph has a unique number.
        """
        parents, present = self.choose_parents(number, real)
        points, parts = self._points[parents], blend_weights(present, self.generator)
        middle = (points * present[..., None, None]).sum(1) / present.sum(1)[:, None, None]
        departure = self._departures(self._axes, MAX_SHAPE_STD, number, real).unflatten(1, (-1, 2))
        shape = (sample_at(middle, parts)[..., None] * points).sum(1) + departure
        faces = warp_to_shape(self._images[parents].float(), points, shape, self._moves(number, real))
        tones = faces[..., FACE, FACE].mean((3, 4), keepdim=True)
        common = (tones * present[..., None, None, None]).sum(1, keepdim=True) / present.sum(1)[:, None, None, None, None]
        faces = (parts[:, :, None] * (faces - tones + common)).sum(1)
        looks = self._departures(self._looks, MAX_APPEARANCE_STD, number, real).unflatten(1, (3, SIDE, SIDE))
        faces = faces + F.interpolate(looks, (CHIP, CHIP), mode="bicubic", align_corners=False)
        faces = torch.where(self._uniform(number, 1, 1, 1) < 0.5, faces.flip(3), faces)
        nobody = self.people + torch.arange(number, device=parents.device)
        person = self._person[parents[:, 0]]
        named = (person >= 0) & (torch.arange(number, device=parents.device) < real)
        return self._lit(faces).round().clamp(0, 255), torch.where(named, person, nobody)

    def choose_parents(self, number: int, real: int) -> tuple[Tensor, Tensor]:
        """Rows of three parents a face (number, 3), as `morphs.choose_parents` chooses them, and 1.0 for those present."""
        most = len(PARENTS)
        drawn = self._drawn(number, 1 + (most - 1) * CANDIDATES)
        first, others = drawn[:, :1], drawn[:, 1:].reshape(number, most - 1, CANDIDATES)
        alike = (self._vectors[others] @ self._vectors[first][..., None])[..., 0]
        alike = alike.masked_fill(others == first[..., None], -1)
        chosen = others.gather(2, alike.argmax(2, keepdim=True))[..., 0]
        present = (self._uniform(number, 1) >= self._fewer).float()
        present[:real, 1:] = 0
        return torch.cat([first, chosen], 1), present

    def _departures(self, axes: Tensor, most: float, number: int, real: int) -> Tensor:
        """Random offsets (number, D) along axes (k, D), up to ``most`` standard deviations; 0 for the first ``real``."""
        steps = self._normal(number, len(axes)) * (most * self._uniform(number, 1))
        steps[:real] = 0
        return steps.clamp(-MAX_AXIS_STD, MAX_AXIS_STD) @ axes

    def _drawn(self, *shape: int) -> Tensor:
        """Sample rows by their probabilities."""
        where = self._uniform(*shape).double()
        return torch.searchsorted(self._cumulated, where, right=True).clamp(max=len(self._cumulated) - 1)

    def _moves(self, number: int, real: int) -> Tensor:
        """Random affine matrices (number, 2, 3): small rotation, shear, stretch and shift."""
        angle, shear, wide, high = self._normal(4, number) * self._spreads
        turned = torch.stack([1 + wide, angle + shear, -angle, 1 + high], 1).unflatten(1, (2, 2))
        middle = (CHIP - 1) / 2
        away = middle - turned.sum(2) * middle + SHIFT * self._normal(number, 2)
        moves = torch.cat([turned, away[..., None]], 2)
        moves[:real] = identity_matrices(real, moves.device)
        return moves

    def _lit(self, faces: Tensor) -> Tensor:
        """Change exposure, tint, saturation and the light from one side."""
        n = len(faces)
        grey = faces.mean(1, keepdim=True)
        least, most = COLOUR
        faces = grey + (faces - grey) * (least + (most - least) * self._uniform(n, 1, 1, 1))
        corners = SIDELIGHT * self._normal(n, 1, 2, 2)
        side = F.interpolate(corners - corners.mean((2, 3), keepdim=True), (CHIP, CHIP), mode="bilinear", align_corners=True)
        gamma = torch.exp(GAMMA * self._normal(n, 1, 1, 1))
        tint = torch.exp(TINT * self._normal(n, 3, 1, 1) + side)
        return 255 * (faces.clamp(0, 255) / 255) ** gamma * tint

    def _axes_of_looks(self) -> Tensor:
        """Principal axes (k, 3 * SIDE * SIDE) of appearance at one shape and tone, one standard deviation long."""
        small = []
        for _ in range(APPEARANCE_CHIPS // AT_ONCE):
            rows = self._drawn(AT_ONCE)
            target = self._middle.expand(AT_ONCE, -1, -1)
            images, points = self._images[rows, None].float(), self._points[rows, None]
            faces = warp_to_shape(images, points, target, identity_matrices(AT_ONCE, target.device))[:, 0]
            faces = faces - faces[..., FACE, FACE].mean((2, 3), keepdim=True)
            small.append(F.interpolate(faces, (SIDE, SIDE), mode="area").flatten(1))
        flat = torch.cat(small)
        _, spread, axes = torch.svd_lowrank(flat - flat.mean(0), min(APPEARANCE_AXES, len(flat)), niter=3)
        return axes.T * spread[:, None] / len(flat) ** 0.5

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator, device=self.generator.device)

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.generator.device)


def blend_weights(present: Tensor, generator: torch.Generator) -> Tensor:
    """Smooth random blend weights (N, K, 128, 128) that sum to 1 over the parents ``present`` (N, K)."""
    n, k = present.shape
    coarse = CONTRAST * torch.randn(n, k, PATCHES, PATCHES, generator=generator, device=present.device)
    full = F.interpolate(coarse, (CHIP, CHIP), mode="bicubic", align_corners=False)
    return full.masked_fill(present[..., None, None] == 0, -torch.inf).softmax(1)


def sample_at(points: Tensor, pictures: Tensor) -> Tensor:
    """Values (N, K, P) of images (N, K, 128, 128) at points (N, P, 2), nearest pixel."""
    x, y = points.round().long().clamp(0, CHIP - 1).unbind(2)
    place = (y * CHIP + x)[:, None].expand(-1, pictures.shape[1], -1)
    return pictures.flatten(2).gather(2, place)
