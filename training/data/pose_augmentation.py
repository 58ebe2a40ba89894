"""Pose augmentation: rotate the faces of training chips to profile views, which are rare in photos and which detectors miss most.

    python -m training.data.pose_augmentation --data DATA --teacher scrfd_2.5g_kps.onnx --out .cache/turned [--number 9000]

Factorisation (Tomasi and Kanade 1992) of the 68 landmarks of many chips gives a mean 3-D shape and the camera of each chip. The
pixels of a chip are projected onto that shape, extended by an ellipsoid for the skull, and the head is rotated about its
vertical axis. The back of the head is filled with mirrored pixels. A teacher detector then labels the face; chips with a low
teacher score are left out.

Dev rows are not used. Writes ``images.npy`` uint8 (N, 128, 128, 3) RGB, ``faces.npz`` as `training.data.label_chips` does, and
``command.txt``.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track
from scipy.interpolate import LinearNDInterpolator

from models import load_detector
from models.chip import CHIP
from training.common.runs import current_command
from training.data.chips import ChipSet, load_chips
from training.data.label_chips import LEAST_SCORE, detect_in_chips
from training.data.scenes import SURE

FACTORISED = 6000  # chips the mean shape is computed from
YAW = 45.0, 95.0  # target yaw in degrees
MAX_ROTATION = 75.0  # largest rotation in degrees
SCALE = 2  # supersampling of the grid on which pixels are moved
NEARER = 10.0  # depth difference in chip pixels from which a point occludes another
CLOSED = 31  # kernel of the closing that fills gaps, in pixels of the fine grid
FILLED = 1.5, 3.0, 6.0, 12.0  # blur radii from which gaps are coloured, in turn

Image = NDArray[np.uint8]
Points = NDArray[np.floating]


def mean_shape_3d(points: Points) -> NDArray[np.float64]:
    """Compute the mean 3-D shape of landmarks by factorisation.

    Args:
        points: landmarks (N, 68, 2) in pixels.

    Returns:
        float64 (68, 3): x to the right, y down, z towards the camera; the outer eye corners are 1 apart.
    """
    flat = (points - points.mean(1, keepdims=True)).transpose(0, 2, 1).reshape(-1, points.shape[1])
    left, spread, right = np.linalg.svd(flat, full_matrices=False)
    across, down = (left[:, :3] * spread[:3]).reshape(-1, 2, 3).transpose(1, 0, 2)

    def products(a: NDArray, b: NDArray) -> NDArray:
        """Coefficients of the six entries of a symmetric Q in a Q b."""
        pairs = list(itertools.combinations_with_replacement(range(3), 2))
        return np.stack([a[:, i] * b[:, j] + (a[:, j] * b[:, i] if i != j else 0) for i, j in pairs], 1)

    # Camera axes are orthogonal and of one scale: a Q a = b Q b and a Q b = 0 for every chip.
    size = ((across**2).sum(1) + (down**2).sum(1))[:, None]
    rules = np.concatenate([(products(across, across) - products(down, down)) / size, products(across, down) / size])
    metric = np.zeros((3, 3))
    metric[np.triu_indices(3)] = np.linalg.svd(rules, full_matrices=False)[2][-1]
    metric = metric + metric.T - np.diag(np.diag(metric))
    values, vectors = np.linalg.eigh(metric * np.sign(np.trace(metric)))
    found = np.linalg.solve(vectors * np.sqrt(np.maximum(values, 1e-6 * values.max())), right[:3]).T
    x = found[16] - found[0]
    x /= np.linalg.norm(x)
    y = found[8] - found[27]
    y -= x * (x @ y)
    y /= np.linalg.norm(y)
    found = (found - found.mean(0)) @ np.stack([x, y, np.cross(x, y)], 1)
    if found[30, 2] < found[[0, 16], 2].mean():  # the nose is in front of the ears
        found[:, 2] *= -1
    return np.asarray(found / np.linalg.norm(found[45] - found[36]))


class HeadModel:
    """Rotates faces in chips.

    Args:
        points: the mean shape (68, 3) of `mean_shape_3d`.
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        self.points = points - points.mean(0)
        self.inverse = np.linalg.pinv(self.points)
        wide = (self.points[16, 0] - self.points[0, 0]) / 2
        eyes, ears = self.points[[36, 45], 1].mean() - 0.05, self.points[[0, 16], 2].mean()
        self.middle = np.array([0.0, eyes, ears])
        radii = np.array([1.12 * wide, self.points[8, 1] - eyes + 0.05, 1.2 * wide])
        azimuth, height = np.meshgrid(np.radians(np.arange(-180, 180, 15)), np.radians(np.arange(-75, 90, 15)))
        away = [np.sin(azimuth) * np.cos(height), -np.sin(height), np.cos(azimuth) * np.cos(height)]
        directions = np.stack(away, -1).reshape(-1, 3)
        self.skull, self.normals = self.middle + radii * directions, directions / radii

    def camera(self, points: Points) -> tuple[float, NDArray[np.float64]]:
        """The weak-perspective camera of landmarks (68, 2): scale in pixels, and rotation (3, 3)."""
        seen = (points - points.mean(0)).T @ self.inverse.T
        left, _, right = np.linalg.svd(seen, full_matrices=False)
        axes = left @ right
        return float(np.sqrt((seen**2).sum() / 2)), np.vstack([axes, np.cross(*axes)])

    def yaw(self, points: Points) -> float:
        """Yaw of landmarks (68, 2) in radians."""
        return float(np.arcsin(np.clip(self.camera(points)[1][0, 2], -1, 1)))

    def rotate(self, chip: Image, points: Points, angle: float) -> Image:
        """Rotate the head in a chip.

        Args:
            chip: uint8 (128, 128, 3) RGB.
            points: its landmarks (68, 2) in chip pixels.
            angle: yaw to add, in radians.

        Returns:
            uint8 (128, 128, 3) RGB.
        """
        side = CHIP * SCALE
        scale, axes = self.camera(points)
        middle, fine = points.mean(0), cv2.resize(chip, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8)
        where, depth, face = self._surface(points, scale, axes)
        known = np.isfinite(depth)
        moved, colours = np.column_stack([where[known], depth[known]]), fine.reshape(-1, 3)[known]
        hub = scale * axes @ self.middle
        back = moved[~face[known]]
        moved = np.concatenate([moved, np.column_stack([back[:, :2], 2 * hub[2] - back[:, 2]])])
        colours = np.concatenate([colours, colours[~face[known]]])
        sine, cosine = np.sin(angle), np.cos(angle)
        turn = axes @ np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]]) @ axes.T
        head, shown = _drawn((moved - hub) @ turn.T + hub + np.append(middle, 0), colours, side)
        blend = cv2.GaussianBlur(cv2.erode(shown, np.ones((3, 3), np.uint8)).astype(np.float32), (0, 0), 1.2)[..., None]
        full = head * blend + _without(fine, known.reshape(side, side)) * (1 - blend)
        # Shift the image so that the face stays in its place.
        shift = np.array([[1, 0, SCALE * (turn @ hub - hub)[0]], [0, 1, 0]])
        full = cv2.warpAffine(full.astype(np.uint8), shift, (side, side), borderMode=cv2.BORDER_REPLICATE)
        return cv2.resize(full, (CHIP, CHIP), interpolation=cv2.INTER_AREA).astype(np.uint8)

    def _surface(self, points: Points, scale: float, axes: NDArray) -> tuple[NDArray, NDArray, NDArray[np.bool_]]:
        """Head surface on the fine grid.

        Returns:
            Grid points (M, 2) relative to the centre of the landmarks; depth (M,) towards the camera, NaN outside the head; and
            bool (M,), True on the face between brows and chin.
        """
        side, middle = CHIP * SCALE, points.mean(0)
        corners = np.column_stack([points - middle, scale * self.points @ axes[2]])
        skull = scale * self.skull @ axes.T
        outline = cv2.convexHull(corners[:, :2].astype(np.float32)[:, None])
        beside = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) < -3 for x, y, _ in skull])
        corners = np.concatenate([corners, skull[beside & (self.normals @ axes[2] > 0)]])
        coarse = LinearNDInterpolator(corners[:, :2], corners[:, 2])(_places(CHIP, 1) - middle).reshape(CHIP, CHIP)
        depth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR).reshape(-1)
        parting = corners[17:27, :2] - 0.7 * scale * axes[:2, 1]
        bare = cv2.convexHull(np.concatenate([corners[:68, :2], parting]).astype(np.float32)[:, None])[:, 0]
        mask = np.zeros((side, side), np.uint8)
        cv2.fillConvexPoly(mask, np.round((bare + middle + 0.5) * SCALE - 0.5).astype(np.int32), 1)
        return _places(side, SCALE) - middle, depth, mask.reshape(-1) > 0


def _places(side: int, scale: int) -> NDArray[np.float64]:
    """Pixel positions (side², 2), in chip pixels, of a grid ``scale`` times finer than the chip."""
    return (np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) + 0.5) / scale - 0.5


def _drawn(points: NDArray, colours: Image, side: int) -> tuple[NDArray[np.float32], Image]:
    """Render coloured points (M, 3) on a fine grid with depth ordering and filled gaps; returns the image and the head mask."""
    cells = np.floor((points[:, :2] + 0.5) * SCALE / 4).astype(int)
    inside = ((cells >= 0) & (cells < side // 4)).all(1)
    points, colours, cells = points[inside], colours[inside], cells[inside]
    nearest = np.full((side // 4, side // 4), -np.inf)
    np.maximum.at(nearest, (cells[:, 1], cells[:, 0]), points[:, 2])
    seen = points[:, 2] > nearest[cells[:, 1], cells[:, 0]] - NEARER
    order = np.argsort(points[seen, 2])
    x, y = np.round((points[seen][order, :2] + 0.5) * SCALE - 0.5).astype(int).clip(0, side - 1).T
    head, known = np.zeros((side, side, 3), np.float32), np.zeros((side, side), np.float32)
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        at = np.minimum(y + below, side - 1), np.minimum(x + right, side - 1)
        head[at], known[at] = colours[seen][order], 1
    shown = cv2.morphologyEx(known.astype(np.uint8), cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (CLOSED,) * 2))
    for blur in FILLED:
        mass = cv2.GaussianBlur(known, (0, 0), blur)
        new = (known == 0) & (shown > 0) & (mass > 0.05)
        if new.any():
            head[new] = cv2.GaussianBlur(head * known[..., None], (0, 0), blur)[new] / mass[new][:, None]
            known[new] = 1
    return head, (shown * known).astype(np.uint8)


def _without(fine: Image, head: NDArray[np.bool_]) -> Image:
    """Remove the head by filling its area with the surrounding background."""
    around = cv2.dilate(head.astype(np.uint8), np.ones((5, 5), np.uint8))
    small = cv2.resize(fine, (CHIP // 2, CHIP // 2), interpolation=cv2.INTER_AREA)
    hole = cv2.resize(around, (CHIP // 2, CHIP // 2), interpolation=cv2.INTER_NEAREST)
    ground = cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), fine.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.where(around[..., None] > 0, ground, fine).astype(np.uint8)


_chips: ChipSet
_points: Points
_heads: HeadModel


def _turn(row: int, seed: int) -> Image:
    cv2.setNumThreads(0)
    rng, chip, points = np.random.default_rng((seed, row)), np.array(_chips.images[row]), _points[row]
    yaw = _heads.yaw(points)
    side = np.sign(yaw) if abs(yaw) > np.radians(5) else rng.choice([-1, 1])
    wanted = np.radians(rng.uniform(*YAW)) - abs(yaw)
    return _heads.rotate(chip, points, float(side * np.clip(wanted, 0, np.radians(MAX_ROTATION))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("data", "teacher", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--number", type=int, default=9000, help="number of chips to rotate")
    parser.add_argument("--processes", type=int, help="worker processes; default: one a core")
    parser.add_argument("--cache", type=Path, default=Path(".cache"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    global _chips, _points, _heads
    _chips = load_chips(args.data, args.cache)
    _points = _chips.landmarks68()
    rng = np.random.default_rng(args.seed)
    rows = rng.permutation(np.flatnonzero(_chips.train & _points.any((1, 2))))
    _heads = HeadModel(mean_shape_3d(_points[rows[:FACTORISED]]))
    rows = rows[: args.number]
    with ProcessPoolExecutor(args.processes, mp_context=multiprocessing.get_context("fork")) as workers:
        made = workers.map(_turn, rows.tolist(), itertools.repeat(args.seed), chunksize=20)
        images = np.stack(list(track(made, "heads", total=len(rows))))
    labels = detect_in_chips(load_detector(args.teacher, "auto", LEAST_SCORE), images)
    sure = labels.scores >= SURE
    args.out.mkdir(parents=True, exist_ok=True)
    np.save(args.out / "images.npy", images[sure])
    np.savez(args.out / "faces.npz", boxes=labels.boxes[sure], landmarks=labels.landmarks[sure], scores=labels.scores[sure])
    (args.out / "command.txt").write_text(current_command())
    print(f"{len(images)} rotated; the teacher is sure of {sure.mean():.0%}")


if __name__ == "__main__":
    main()
