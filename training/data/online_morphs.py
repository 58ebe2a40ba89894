"""Endless faces of people there never were, made where the network trains: `training.data.morphs` for whole batches.

The same recipe: parents that the teacher finds alike, brought to one shape that departs from theirs along the axes in which faces
differ, and to one colour; each part of the face more of the one or the other. What differs is what a GPU wants. Every face has
room for three parents, of whom those it lacks have no share. The warp is a smooth one (kernel interpolation of the 68 points'
shifts, one small factorisation a face) in place of triangles. And as no face comes twice and the teacher names each as it is
made, there may be more of everything that leaves a face a face: its mirror image, light from a side, another exposure, and
departures in looks, along the axes in which the colours of faces of one shape differ, beside those in shape.
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

REACH, RIDGE = 40.0, 0.01  # pixels over which a point's shift is felt; how far from exact, as points may coincide
TURN, STRETCH, SHIFT = 2.0, 0.03, 1.0  # degrees, shares and pixels (standard deviations) by which a face is set otherwise
GAMMA, TINT, COLOUR = 0.2, 0.04, (0.6, 1.2)  # spreads of exposure and tint (logarithms), and least and most of colourfulness
SIDELIGHT = 0.2  # spread of the logarithm of light from one side of the face to the other
APPEARANCE_AXES, APPEARANCE_CHIPS, SIDE = (
    40,
    2048,
    32,
)  # axes of looks (colours of one shape), of how many faces they are, at what size
MAX_SHAPE_STD, MAX_APPEARANCE_STD = (
    1.4,
    0.8,
)  # standard deviations of people along the axes of shape and looks, of the faces that depart most
MAX_AXIS_STD = 2.0  # standard deviations along any axis
CELLS = CHIP // STEP + 1  # points a side at which the warp is worked out
AT_ONCE = 256


@functools.cache
def _places(device: torch.device) -> tuple[Tensor, Tensor]:
    """The frame's points, which stay where they are, and those at which a warp is worked out, (1, F, 2) and (1, CELLS², 2)."""
    ticks = torch.linspace(0, CHIP - 1, CELLS)
    grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1).reshape(1, -1, 2)
    return torch.from_numpy(FRAME)[None].to(device), grid.to(device)


def matern_kernel(distance: Tensor) -> Tensor:
    """How much of a shift is felt at a distance in pixels: a Matérn kernel, smooth where a point lies."""
    near = 3**0.5 / REACH * distance
    return (1 + near) * torch.exp(-near)


def interpolate_shifts(target: Tensor, shifts: Tensor, at: Tensor) -> Tensor:
    """The smooth shift (N, Q, D) at places ``at`` (N, Q, 2) of which ``target`` (N, P, 2) has ``shifts`` (N, P, D)."""
    alike = matern_kernel(torch.cdist(target, target, compute_mode="donot_use_mm_for_euclid_dist"))
    alike = alike + RIDGE * torch.eye(alike.shape[1], device=alike.device)
    lower, _ = torch.linalg.cholesky_ex(alike)  # unchecked: a check would wait for the device
    half = torch.linalg.solve_triangular(lower, shifts, upper=False)
    weights = torch.linalg.solve_triangular(lower.mT, half, upper=True)
    return matern_kernel(torch.cdist(at, target, compute_mode="donot_use_mm_for_euclid_dist")) @ weights


def warp_to_shape(pictures: Tensor, sources: Tensor, target: Tensor, move: Tensor) -> Tensor:
    """Pictures (N, K, 3, 128, 128) whose points ``sources`` (N, K, 68, 2) come to lie on ``target`` (N, 68, 2), all seen through
    matrices ``move`` (N, 2, 3), from the pixels of what comes out to those of the target."""
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
    """Matrices (N, 2, 3) that leave all where it is."""
    return torch.eye(2, 3, device=device).expand(n, 2, 3)


class MorphSampler:
    """The training chips with landmarks, on a device, and faces made of them."""

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
        """New faces, float (number, 3, 128, 128) RGB 0..255, the first ``real`` of which are a chip's but for their light; and
        whose each is (number,): a person's number, of nobody one of its own."""
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
        """Rows of three parents each (number, 3), as `morphs.choose_parents` chooses them, and 1.0 for those who take part."""
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
        """How far (number, D) faces depart along axes (k, D), some hardly and some by up to ``most``; the first not at all."""
        steps = self._normal(number, len(axes)) * (most * self._uniform(number, 1))
        steps[:real] = 0
        return steps.clamp(-MAX_AXIS_STD, MAX_AXIS_STD) @ axes

    def _drawn(self, *shape: int) -> Tensor:
        """Rows, as often as their chances say."""
        where = self._uniform(*shape).double()
        return torch.searchsorted(self._cumulated, where, right=True).clamp(max=len(self._cumulated) - 1)

    def _moves(self, number: int, real: int) -> Tensor:
        """Matrices (number, 2, 3) that set faces a little otherwise in their chips."""
        angle, shear, wide, high = self._normal(4, number) * self._spreads
        turned = torch.stack([1 + wide, angle + shear, -angle, 1 + high], 1).unflatten(1, (2, 2))
        middle = (CHIP - 1) / 2
        away = middle - turned.sum(2) * middle + SHIFT * self._normal(number, 2)
        moves = torch.cat([turned, away[..., None]], 2)
        moves[:real] = identity_matrices(real, moves.device)
        return moves

    def _lit(self, faces: Tensor) -> Tensor:
        """Faces in another light: exposure, tint, colourfulness, and more of it from one side."""
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
        """The main axes (k, 3 * SIDE * SIDE), a standard deviation long, along which faces of one shape and tone differ."""
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
    """How much of each pixel is each parent's (N, K, 128, 128), of those ``present`` (N, K), changing smoothly over the face."""
    n, k = present.shape
    coarse = CONTRAST * torch.randn(n, k, PATCHES, PATCHES, generator=generator, device=present.device)
    full = F.interpolate(coarse, (CHIP, CHIP), mode="bicubic", align_corners=False)
    return full.masked_fill(present[..., None, None] == 0, -torch.inf).softmax(1)


def sample_at(points: Tensor, pictures: Tensor) -> Tensor:
    """Values (N, K, P) of pictures (N, K, 128, 128) at points (N, P, 2)."""
    x, y = points.round().long().clamp(0, CHIP - 1).unbind(2)
    place = (y * CHIP + x)[:, None].expand(-1, pictures.shape[1], -1)
    return pictures.flatten(2).gather(2, place)
